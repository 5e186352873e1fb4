import { describe, expect, it } from 'vitest'
import { fail, nativeWorld, store, succeed } from './support.js'

describe('headers', () => {
  it('prints headers with credentials filled in, as JSON', async () => {
    const world = await nativeWorld()
    await store(world, 'notes_token', 'a"b\\c')
    await store(world, 'key', 'k')
    const headers = [
      '--header',
      'Authorization: Bearer {{ vault "notes_token" }}',
      '--header',
      'X-Both: {{ vault "key" }}-{{ vault "key" }}',
    ]
    expect(JSON.parse(await succeed(world, 'headers', ...headers))).toEqual({
      Authorization: 'Bearer a"b\\c',
      'X-Both': 'k-k',
    })
  })

  it('are refused without repeating a value: none, a malformed one, a missing credential, a line feed in a value', async () => {
    const world = await nativeWorld()
    await store(world, 'lines', 's3cret\nvalue')
    expect(await fail(world, 'headers')).toMatchObject({ status: 2, code: 'USAGE' })
    for (const [header, code] of [
      ['s3cret', 'USAGE'],
      ['X Y: s3cret', 'USAGE'],
      ['X: {{ s3cret }}', 'INPUT'],
      ['X: {{ vault "none" }}', 'NOT_FOUND'],
      ['X: {{ vault "lines" }}', 'INPUT'],
    ] as const) {
      const failure = await fail(world, 'headers', '--header', header)
      expect(failure.code, header).toBe(code)
      expect(JSON.stringify(failure)).not.toContain('s3cret')
    }
  })
})
