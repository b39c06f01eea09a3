// Payment data. Sealed, so that a dispute can be worked on by who may read it; PCI DSS 3.5 asks for unreadable at rest.
import { ENCRYPT, type Rule } from '../options.ts'

export const PAYMENT: readonly Rule[] = [
  {
    name: 'card numbers by key',
    match: {
      key: [
        '*card_number',
        '*card.number',
        '*cardnumber',
        '*credit_card',
        '*creditcard',
        '*.pan',
        'primary_account_number',
      ],
    },
    action: ENCRYPT,
    dataClass: 'payment_card',
  },
  { name: 'card numbers', match: { detector: ['payment_card'] }, action: ENCRYPT, dataClass: 'payment_card' },
  {
    name: 'bank accounts by key',
    match: { key: ['iban', '*.iban', '*_iban'] },
    action: ENCRYPT,
    dataClass: 'iban',
  },
  { name: 'bank accounts', match: { detector: ['iban'] }, action: ENCRYPT, dataClass: 'iban' },
]
