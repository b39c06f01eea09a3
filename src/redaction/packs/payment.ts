// Payment data. Sealed, so that a dispute can be worked on by who may read it; PCI DSS 3.5 asks for unreadable at rest.
import { ENCRYPT, MASK, type Rule } from '../options.ts'

export const PAYMENT: readonly Rule[] = [
  {
    name: 'card numbers by key',
    match: {
      field: ['payment_card'],
      // Without a mark between the words too, as in `usercardnumber`, where no last word is known.
      key: ['*card_number', '*card.number', '*cardnumber', '*credit_card', '*creditcard'],
    },
    action: ENCRYPT,
    dataClass: 'payment_card',
  },
  {
    // PCI DSS 3.3: never kept after authorisation, not even sealed.
    name: 'card security codes',
    match: { field: ['card_security'] },
    action: MASK,
    dataClass: 'credential',
  },
  { name: 'card numbers', match: { detector: ['payment_card'] }, action: ENCRYPT, dataClass: 'payment_card' },
  {
    name: 'bank accounts by key',
    match: { field: ['bank_account'] },
    action: ENCRYPT,
    dataClass: 'iban',
  },
  {
    name: 'bank accounts',
    match: { detector: ['iban', 'bank_account'] },
    action: ENCRYPT,
    dataClass: 'iban',
  },
]
