// Trace requests whose parts multiply: many of one thing around, beside or inside many of another. `n` grows both, so the
// size grows with n and work that is a product grows with its square.
import { Writer } from '../../../src/wire/write.ts'

type Write = (out: Writer) => void

export const bytesOf = (write: Write): Uint8Array => {
  const out = new Writer()
  write(out)
  return out.finish()
}

export const inside = (out: Writer, field: number, write: Write = () => undefined): void => {
  const mark = out.open(field)
  write(out)
  out.close(mark)
}

export const times = (count: number, write: (index: number) => void): void => {
  for (let i = 0; i < count; i++) write(i)
}

/** A string attribute as field `field`. */
export const attribute = (out: Writer, field: number, key: string, value?: string): void =>
  inside(out, field, () => {
    out.string(1, key)
    if (value !== undefined) inside(out, 2, () => out.string(1, value))
  })

/** A value of one kvlist inside the other, `depth` deep, with two entries of one key at each level. */
const nested = (out: Writer, depth: number, leaf: string): void => {
  if (depth === 0) {
    out.string(1, leaf)
    return
  }
  inside(out, 6, () => {
    for (const each of [leaf, '']) {
      inside(out, 1, () => {
        out.string(1, 'k')
        inside(out, 2, () => (each === '' ? out.string(1, 'x') : nested(out, depth - 1, leaf)))
      })
    }
  })
}

const traces = (write: (group: Writer) => void): Uint8Array => bytesOf((out) => inside(out, 1, write))
const resource = (out: Writer, write: Write): void => inside(out, 1, write)
const scopeSpans = (out: Writer, write: Write): void => inside(out, 2, write)

const ids = (out: Writer): void => {
  out.bytes(1, new Uint8Array(16).fill(1))
  out.bytes(2, new Uint8Array(8).fill(2))
}

/** A span that the policy selects. */
const compliant = (out: Writer, write: Write = () => undefined): void =>
  inside(out, 2, () => {
    ids(out)
    attribute(out, 9, 'compliance.control', 'AC-2')
    write(out)
  })

const oneSpan = (write: Write): Uint8Array =>
  traces((group) => scopeSpans(group, () => compliant(group, write)))

export type Shape = (n: number) => Uint8Array

export const SHAPES: Readonly<Record<string, Shape>> = {
  'empty resource attributes × scopes': (n) =>
    traces((group) => {
      resource(group, () => times(n * 20, () => inside(group, 1)))
      times(n, () => scopeSpans(group, () => compliant(group)))
    }),
  'a long covered resource attribute × scopes': (n) =>
    traces((group) => {
      resource(group, () => attribute(group, 1, 'service.name', 'x'.repeat(n * 40)))
      times(n, () => scopeSpans(group, () => compliant(group)))
    }),
  'a long scope name × spans': (n) =>
    traces((group) =>
      scopeSpans(group, () => {
        inside(group, 1, () => group.string(1, 'x'.repeat(n * 40)))
        times(n, () => compliant(group))
      }),
    ),
  'empty attributes in one span': (n) => oneSpan((out) => times(n * 30, () => inside(out, 9))),
  'one key with many values': (n) => oneSpan((out) => times(n * 5, (i) => attribute(out, 9, 'k', `v${i}`))),
  'keys with a long common beginning': (n) =>
    oneSpan((out) => times(n, (i) => attribute(out, 9, `${'k'.repeat(200)}${(i * 7919) % n}`))),
  'each key a beginning of the next': (n) =>
    oneSpan((out) => times(Math.floor(Math.sqrt(n) * 3), (i) => attribute(out, 9, 'k'.repeat(i)))),
  'events and links with attributes': (n) =>
    oneSpan((out) =>
      times(n, (i) => {
        inside(out, 11, () => attribute(out, 3, `k${i}`, 'v'))
        inside(out, 13, () => attribute(out, 4, `k${i}`, 'v'))
      }),
    ),
  'lists in lists with equal keys': (n) =>
    oneSpan((out) => inside(out, 9, () => inside(out, 2, () => nested(out, 20, 'v'.repeat(n * 20))))),
  'a long key over a kvlist': (n) =>
    oneSpan((out) =>
      inside(out, 9, () => {
        out.string(1, 'k'.repeat(n * 25))
        inside(out, 2, () =>
          inside(out, 6, () => times(n, (i) => attribute(out, 1, `c${i}`, 'a@example.com'))),
        )
      }),
    ),
  'small spans': (n) => traces((group) => scopeSpans(group, () => times(n, () => inside(group, 2)))),
  'resource groups': (n) =>
    bytesOf((out) =>
      times(n, (i) =>
        inside(out, 1, () => {
          resource(out, () => attribute(out, 1, 'betrace.tenant', `t${i % 100}`))
          scopeSpans(out, () => compliant(out))
        }),
      ),
    ),
}
