/** An export of one span, as OTLP/JSON, with one string attribute. */
export function oneSpan(name: string, key = 'user.email', stringValue = 'ann@example.org'): string {
  const span = {
    traceId: '5b8efff798038103d269b633813fc60c',
    spanId: 'eee19b7ec3c1b174',
    name,
    attributes: [{ key, value: { stringValue } }],
  }
  return JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] })
}
