// Names of the attributes in which a signature travels (proto/evidence.md §5).

/** Of a span: what begins so is the signature's. */
export const SIGNATURE_KEY_PREFIX = 'span.signature'
/** Of a resource: this and the id of a statement that its spans refer to. */
export const STATEMENT_KEY_PREFIX = 'betrace.statement.'
