import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { admin } from './fixture.ts'

test('the status page shows health, queue, hit ratio and links, and loads nothing', async () => {
  const server = admin({
    health: {
      live: () => [],
      ready: () => [{ name: 'kms', isUp: false, data: { error: '<script>alert("1")</script>' } }],
      started: () => [],
    },
    summary: () => ({
      version: '9.8.7',
      uptimeMs: 3_720_000,
      queueBytesUsed: 512 * 1024 * 1024,
      queueBytesMax: 1024 * 1024 * 1024,
      queuedItems: 42,
      keyHitRatio: 0.99951,
    }),
  })
  const { body, headers, statusCode } = await server.inject('/')
  expect(statusCode).toBe(200)
  expect(headers['content-type']).toBe('text/html; charset=utf-8')
  for (const text of ['9.8.7', '512.0 of 1024.0 MiB (50.0 %)', '>42<', '99.951 %', '1 h 2 min', '>DOWN<']) {
    expect(body).toContain(text)
  }
  expect(body).toContain('&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;')
  expect(body).not.toContain('<script')
  expect(body).not.toMatch(/\b(?:src|href)="(?:https?:)?\/\//)
  for (const [, href] of body.matchAll(/href="([^"]+)"/g)) {
    expect([200, 503], href).toContain((await server.inject(href!)).statusCode)
  }
})

test("the page's style is the one that its policy allows", async () => {
  const { body, headers } = await admin().inject('/')
  const style = /<style>(.*?)<\/style>/s.exec(body)![1]!
  const hash = createHash('sha256').update(style).digest('base64')
  expect(headers['content-security-policy']).toContain(`style-src 'sha256-${hash}'`)
  expect(body).toContain('<html lang="en">')
  expect(style).toContain('prefers-color-scheme: dark')
})
