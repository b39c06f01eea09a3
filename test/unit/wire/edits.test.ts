import { describe, expect, test } from 'vitest'
import { Edits } from '../../../src/wire/edits.ts'
import { Frame, Place } from '../../../src/wire/otlp.ts'
import { scan, type Visitor } from '../../../src/wire/scan.ts'
import { splice } from '../../../src/wire/splice.ts'
import { stringAttribute, stringValue } from '../../../src/wire/write.ts'
import { encode, read } from './oracle.ts'
import { field, idle, joined, spanAttribute, spanRequest, text, varint } from './recorder.ts'

type Attribute = Visitor['attribute']

/** The request after the edits that `visitor` made. */
function edited(buf: Uint8Array, visitor: (edits: Edits) => Partial<Visitor>): Uint8Array {
  const edits = new Edits()
  scan(buf, 'traces', { ...idle, ...visitor(edits) }, edits)
  return splice(buf, edits)
}

function editAttributes(
  buf: Uint8Array,
  edit: (edits: Edits, ...at: Parameters<Attribute>) => void,
): Uint8Array {
  return edited(buf, (edits) => ({
    attribute: (...at) => {
      edit(edits, ...at)
      return true
    },
  }))
}

const one = spanRequest(spanAttribute('ab', field(1, text('xyz'))))
function expectSame(actual: Uint8Array, expected: Uint8Array): void {
  expect(actual.length).toBe(expected.length)
  expect(Buffer.compare(actual, expected)).toBe(0)
}

/** Lengths at which a length itself grows by a byte, and their neighbours. */
const sizes = [0, 1, 126, 127, 128, 129, 16382, 16383, 16384, 16385, 2_097_151, 2_097_152]

describe('an edit', () => {
  test.each(sizes)('of a value to %i bytes corrects the lengths around it', (size) => {
    const out = editAttributes(one, (edits, _p, _d, _f, _e, _ks, _ke, start, end) =>
      edits.replace(start, end, stringValue('v'.repeat(size))),
    )
    expectSame(out, spanRequest(spanAttribute('ab', field(1, text('v'.repeat(size))))))
  })

  test.each(sizes)('of a key to %i bytes corrects the lengths around it', (size) => {
    const out = editAttributes(one, (edits, _p, _d, _f, _e, start, end) =>
      edits.replace(start, end, text('k'.repeat(size))),
    )
    expectSame(out, spanRequest(spanAttribute('k'.repeat(size), field(1, text('xyz')))))
  })

  test('of a part of a string changes that part', () => {
    const out = edited(one, (edits) => ({
      scalar: (_place, _type, start, end) => edits.replace(start + 1, end - 1, text('-hidden-')),
    }))
    expectSame(out, spanRequest(spanAttribute('ab', field(1, text('x-hidden-z')))))
  })

  test('of a text field corrects its length', () => {
    const out = edited(spanRequest(field(5, text('name'))), (edits) => ({
      text: (_place, start, end) => edits.replace(start, end, text('n'.repeat(300))),
    }))
    expect(out).toEqual(Buffer.from(spanRequest(field(5, text('n'.repeat(300))))))
  })

  test('that removes an attribute leaves nothing of it', () => {
    const buf = spanRequest(
      spanAttribute('a', 0x18, 1),
      spanAttribute('b', 0x18, 2),
      spanAttribute('c', 0x18, 3),
    )
    const out = editAttributes(buf, (edits, _p, _d, start, end, keyStart) => {
      if (buf[keyStart] === 0x62) edits.remove(start, end)
    })
    expect(out).toEqual(Buffer.from(spanRequest(spanAttribute('a', 0x18, 1), spanAttribute('c', 0x18, 3))))
  })

  test('of an int changes its type when the whole value is replaced', () => {
    const buf = spanRequest(spanAttribute('a', 0x18, 1))
    const out = editAttributes(buf, (edits, _p, _d, _f, _e, _ks, _ke, start, end) =>
      edits.replace(start, end, stringValue('sealed')),
    )
    expect(out).toEqual(Buffer.from(spanRequest(spanAttribute('a', field(1, text('sealed'))))))
  })

  test('of a value that is not there creates it, and so does one of a key', () => {
    const buf = spanRequest(field(9, field(1, text('a'))), field(9, field(2, 0x18, 1)), field(9))
    const out = editAttributes(buf, (edits, _p, _d, _f, _e, keyStart, keyEnd, start, end) => {
      if (start === end) edits.replace(start, end, stringValue('v'))
      else edits.replace(keyStart, keyEnd, text('k'))
    })
    expect(out).toEqual(
      Buffer.from(
        spanRequest(
          spanAttribute('a', field(1, text('v'))),
          spanAttribute('k', 0x18, 1),
          field(9, field(2, field(1, text('v')))),
        ),
      ),
    )
  })

  test('of key and value works when the value stands first', () => {
    const buf = spanRequest(
      field(9, field(2, field(1, text('v'))), field(1, text('k'))),
      spanAttribute('z', 0x18, 1),
    )
    const out = editAttributes(buf, (edits, _p, _d, _f, _e, keyStart, keyEnd, start, end) => {
      edits.replace(keyStart, keyEnd, text('key'.repeat(60)))
      edits.replace(start, end, stringValue('value'.repeat(60)))
    })
    const value = field(2, field(1, text('value'.repeat(60))))
    expect(out).toEqual(
      Buffer.from(
        spanRequest(
          field(9, value, field(1, text('key'.repeat(60)))),
          spanAttribute('key'.repeat(60), field(1, text('value'.repeat(60)))),
        ),
      ),
    )
  })

  test('deep inside arrays and kvlists corrects every length on the way', () => {
    const inner = (value: string): Uint8Array =>
      field(6, field(1, field(1, text('k')), field(2, field(1, text(value)))))
    const request = (value: string): Uint8Array =>
      spanRequest(
        spanAttribute('a', field(5, field(1, inner(value)), field(1, 0x10, 1))),
        spanAttribute('b', 0x18, 1),
      )
    const out = edited(request('v'), (edits) => ({
      scalar: (_place, type, start, end) => {
        if (type === 1) edits.replace(start, end, text('long'.repeat(100)))
      },
    }))
    expect(out).toEqual(Buffer.from(request('long'.repeat(100))))
  })
})

describe('an insert', () => {
  test('from leave appends to the message', () => {
    const out = edited(spanRequest(spanAttribute('a', 0x18, 1)), (edits) => ({
      leave: (frame, _start, end) => {
        if (frame === Frame.ITEM) edits.insert(end, stringAttribute(9, 'sig', 's'.repeat(200)))
      },
    }))
    const added = spanAttribute('sig', field(1, text('s'.repeat(200))))
    expect(out).toEqual(Buffer.from(spanRequest(spanAttribute('a', 0x18, 1), added)))
  })

  test('into messages that end at one place puts each where it belongs, in whatever order they come', () => {
    const insertAll = (edits: Edits, order: 'enter' | 'leave'): Partial<Visitor> => ({
      [order]: (frame: Frame, _start: number, end: number) => edits.insert(end, field(20 + frame, frame)),
    })
    const want = field(
      1,
      field(2, field(2, spanAttribute('a', 0x18, 1), field(24, 4).subarray(0, 0)), new Uint8Array(0)),
    )
    expect(want.length).toBeGreaterThan(0)
    const leave = edited(spanRequest(spanAttribute('a', 0x18, 1)), (edits) => insertAll(edits, 'leave'))
    const enter = edited(spanRequest(spanAttribute('a', 0x18, 1)), (edits) => insertAll(edits, 'enter'))
    expect(enter).toEqual(leave)
    const tagged = (frame: Frame): Uint8Array => field(20 + frame, frame)
    // `field` writes one-byte tags only, so the tags above are those of fields (20 + frame) & 15.
    expect(leave).toEqual(
      Buffer.from(
        field(
          1,
          field(2, field(2, spanAttribute('a', 0x18, 1), tagged(Frame.ITEM)), tagged(Frame.SCOPE_GROUP)),
          tagged(Frame.RESOURCE_GROUP),
        ),
      ),
    )
  })

  test('of a resource into a group that has none, decided at its end', () => {
    const resource = field(1, stringAttribute(1, 'betrace.key.x', 'announcement'))
    const out = edited(one, (edits) => ({
      attribute: (_p, _d, _f, _e, _ks, _ke, start, end) => {
        edits.replace(start, end, stringValue('sealed'))
        return true
      },
      leave: (frame, start) => {
        if (frame === Frame.RESOURCE_GROUP) edits.insert(start, resource)
      },
    }))
    const span = field(2, spanAttribute('ab', field(1, text('sealed'))))
    expect(out).toEqual(Buffer.from(field(1, resource, field(2, span))))
  })

  test('in front of an attribute makes a sibling of it, also when that is removed', () => {
    const buf = spanRequest(spanAttribute('a', 0x18, 1), spanAttribute('b', 0x18, 2))
    for (const isRemovedFirst of [true, false]) {
      const out = editAttributes(buf, (edits, _p, _d, start, end, keyStart) => {
        if (buf[keyStart] !== 0x62) return
        if (isRemovedFirst) edits.remove(start, end)
        edits.insert(start, spanAttribute('new', 0x18, 9))
        if (!isRemovedFirst) edits.remove(start, end)
      })
      expect(out).toEqual(
        Buffer.from(spanRequest(spanAttribute('a', 0x18, 1), spanAttribute('new', 0x18, 9))),
      )
    }
  })

  test('several at one place keep the order of their calls', () => {
    const out = edited(spanRequest(), (edits) => ({
      leave: (frame, _start, end) => {
        if (frame !== Frame.ITEM) return
        for (const name of ['x', 'y', 'z']) edits.insert(end, spanAttribute(name, 0x18, 1))
      },
    }))
    const names = ['x', 'y', 'z'].map((name) => spanAttribute(name, 0x18, 1))
    expect(out).toEqual(Buffer.from(spanRequest(...names)))
  })

  test('after the scan is possible at the two ends of the request, and nowhere else', () => {
    const edits = new Edits()
    scan(one, 'traces', idle, edits)
    edits.insert(one.length, field(1))
    edits.insert(0, field(2))
    expect(splice(one, edits)).toEqual(Buffer.from(joined(field(2), one, field(1))))
    expect(() => edits.insert(5, field(1))).toThrow('an edit is made while its frame is open')
  })
})

describe('a mark', () => {
  const reserveValue = (edits: Edits, buf: Uint8Array): number => {
    let mark = -1
    const attribute: Attribute = (_p, _d, _f, _e, _ks, _ke, start, end) => {
      mark = edits.reserve(start, end)
      return true
    }
    scan(buf, 'traces', { ...idle, attribute }, edits)
    return mark
  }

  test('that is never filled changes nothing, and the buffer is the same one', () => {
    const edits = new Edits()
    reserveValue(edits, one)
    expect(splice(one, edits)).toBe(one)
  })

  test('can be filled after the scan, from the middle of another buffer', () => {
    const edits = new Edits()
    edits.fillFrom(reserveValue(edits, one), joined(9, 9, stringValue('late'), 9), 2, 8)
    expect(splice(one, edits)).toEqual(Buffer.from(spanRequest(spanAttribute('ab', field(1, text('late'))))))
  })

  test('filled with nothing removes its range', () => {
    const edits = new Edits()
    edits.fill(reserveValue(edits, one), new Uint8Array(0))
    expect(splice(one, edits)).toEqual(Buffer.from(spanRequest(spanAttribute('ab'))))
  })

  test('filled twice, or edits that overlap, are a bug and say so', () => {
    const edits = new Edits()
    const mark = reserveValue(edits, one)
    edits.fill(mark, text('x'))
    expect(() => edits.fill(mark, text('y'))).toThrow('a mark is filled once')
    expect(() =>
      editAttributes(one, (more, _p, _d, start, end, _ks, _ke, valueStart, valueEnd) => {
        more.replace(valueStart, valueEnd, text('x'))
        more.remove(start, end)
      }),
    ).toThrow('edits do not overlap')
  })
})

describe('bytes that no edit touched', () => {
  test('stay: unknown fields, and lengths in more bytes than they need where the length stayed', () => {
    const padded = joined(0x0a, 0x90, 0x80, 0x00) // a resource group of 16 bytes
    const span = field(2, field(2, spanAttribute('a', field(1, text('xyz')))))
    const buf = joined(padded, span)
    expect(buf.length).toBe(20)
    const out = edited(buf, (edits) => ({
      scalar: (_place, _type, start, end) => edits.replace(start, end, text('abc')),
    }))
    expect(out).toEqual(
      Buffer.from(joined(padded, field(2, field(2, spanAttribute('a', field(1, text('abc'))))))),
    )
  })

  test('are those of a request without matches: the same buffer', () => {
    expect(edited(one, () => ({}))).toBe(one)
  })
})

test('one instance serves many requests and gives back what a giant one took', () => {
  const edits = new Edits()
  const giant = encode('traces', {
    resourceSpans: [
      { scopeSpans: [{ spans: Array.from({ length: 20_000 }, (_, i) => ({ name: `n${i}` })) }] },
    ],
  })
  const textVisitor = (replacement: Uint8Array): Visitor => ({
    ...idle,
    text: (place, start, end) => {
      if (place === Place.SPAN_NAME) edits.replace(start, end, replacement)
    },
  })
  scan(giant, 'traces', textVisitor(text('x'.repeat(500))), edits)
  const names = JSON.stringify(read('traces', splice(giant, edits))).match(/x{500}/g)
  expect(names?.length).toBe(20_000)
  const giantBytes = edits.arena.length
  const small = spanRequest(field(5, text('name')))
  scan(small, 'traces', textVisitor(text('y')), edits)
  expect(splice(small, edits)).toEqual(Buffer.from(spanRequest(field(5, text('y')))))
  expect(edits.arena.length).toBeLessThan(giantBytes / 100)
})

test('two hundred thousand edits out of order take a moment, not minutes', () => {
  const attribute = field(9, field(2, 0x18, 1), field(1, text('k')))
  const span = joined(...Array.from({ length: 1000 }, () => attribute))
  const content = Buffer.concat(Array.from({ length: 100 }, () => field(2, span)))
  const group = Buffer.concat([Buffer.from([0x12]), varint(content.length), content])
  const buf = Buffer.concat([Buffer.from([0x0a]), varint(group.length), group])
  const key = text('kk')
  const value = stringValue('v')
  const started = performance.now()
  const out = editAttributes(buf, (edits, _p, _d, _f, _e, keyStart, keyEnd, start, end) => {
    edits.replace(keyStart, keyEnd, key)
    edits.replace(start, end, value)
  })
  expect(performance.now() - started).toBeLessThan(10_000)
  let count = 0
  editAttributes(out, (_edits, _p, _d, _f, _e, keyStart, keyEnd, start, end) => {
    if (keyEnd - keyStart === 2 && end - start === value.length) count++
  })
  expect(count).toBe(100_000)
})
