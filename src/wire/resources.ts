// A quick look at the resources of a request, for what must be known before the scan: which tenants it is from.
import { SidecarError } from '../base/errors.ts'
import { GROUPS_PER_REQUEST_MAX } from '../base/limits.ts'
import { Fields } from './reader.ts'
import { Wire } from './schema.ts'

/**
 * For each resource group of an encoded request of any signal, in order: the string value of the resource attribute
 * `key` (UTF-8 bytes), or `undefined` where there is none or it is no string. Of several with one key the first counts,
 * as in the Collector. Only what is passed on the way is checked: the scan validates the request. Throws MALFORMED, and
 * TOO_LARGE over GROUPS_PER_REQUEST_MAX.
 */
export function resourceStrings(buf: Uint8Array, key: Uint8Array): (string | undefined)[] {
  const values: (string | undefined)[] = []
  const groups = new Fields(buf)
  while (groups.next()) {
    if (groups.field !== 1) continue
    groups.expect(Wire.LENGTH)
    if (values.length === GROUPS_PER_REQUEST_MAX)
      throw new SidecarError('TOO_LARGE', 'too many resource groups')
    values.push(groupString(buf, groups.start, groups.end, key))
  }
  return values
}

function groupString(buf: Uint8Array, start: number, end: number, key: Uint8Array): string | undefined {
  const group = new Fields(buf, start, end)
  while (group.next()) {
    if (group.field !== 1) continue
    group.expect(Wire.LENGTH)
    return attributeString(buf, group.start, group.end, key)
  }
  return undefined
}

function attributeString(buf: Uint8Array, start: number, end: number, key: Uint8Array): string | undefined {
  const resource = new Fields(buf, start, end)
  while (resource.next()) {
    if (resource.field !== 1) continue
    resource.expect(Wire.LENGTH)
    const attribute = new Fields(buf, resource.start, resource.end)
    let isMatch = key.length === 0
    let valueStart = 0
    let valueEnd = 0
    while (attribute.next()) {
      if (attribute.field > 2) continue
      attribute.expect(Wire.LENGTH)
      if (attribute.field === 1) isMatch = rangeEquals(buf, attribute.start, attribute.end, key)
      else {
        valueStart = attribute.start
        valueEnd = attribute.end
      }
    }
    if (isMatch) return stringIn(buf, valueStart, valueEnd)
  }
  return undefined
}

function stringIn(buf: Uint8Array, start: number, end: number): string | undefined {
  const value = new Fields(buf, start, end)
  while (value.next()) {
    if (value.field === 1 && value.wireType === Wire.LENGTH) {
      return Buffer.from(buf.buffer, buf.byteOffset + value.start, value.end - value.start).toString()
    }
  }
  return undefined
}

/** Whether the bytes [start, end) of `buf` are those of `bytes`. */
export function rangeEquals(buf: Uint8Array, start: number, end: number, bytes: Uint8Array): boolean {
  if (end - start !== bytes.length) return false
  for (let i = 0; i < bytes.length; i++) if (buf[start + i] !== bytes[i]) return false
  return true
}
