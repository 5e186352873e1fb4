/** The examination of files that any bytes were put into, for a sample and for many runs. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect } from 'vitest'
import { VAULT } from '../cli/commands/support.js'
import type { TestWorld } from '../support/context.js'
import { idsIn } from './doctor-support.js'

const FILES = [VAULT, 'rotation_log.json', 'mcp_tokens.jsonl'] as const

/** Holds that `doctor` names damage in whatever is put into the files, with the key and without it. */
export async function expectAnyBytesSurvived(world: TestWorld, numRuns: number): Promise<void> {
  const key = world.env.MCP_ENCRYPTION_KEY
  const whole = new Map<string, Buffer>()
  for (const name of FILES) {
    try {
      whole.set(name, readFileSync(join(world.directory, name)))
    } catch {
      // A tutorial vault has no token records.
    }
  }
  const names = [...whole.keys()]
  expect(names.length).toBeGreaterThan(1)
  const put = fc.oneof(
    fc.uint8Array({ maxLength: 8 }),
    fc.json().map((text) => Buffer.from(text)),
  )
  const change = fc.record({ name: fc.constantFrom(...names), position: fc.nat(), put, hasKey: fc.boolean() })
  const ways = fc.constantFrom('replace', 'insert', 'cut')
  await fc.assert(
    fc.asyncProperty(change, ways, async ({ name, position, put: bytes, hasKey }, how) => {
      const original = whole.get(name) ?? Buffer.alloc(0)
      const from = position % (original.length + 1)
      const to = how === 'cut' ? original.length : how === 'insert' ? from : from + bytes.length
      const changed = Buffer.concat([original.subarray(0, from), bytes, original.subarray(to)])
      writeFileSync(join(world.directory, name), changed)
      world.env.MCP_ENCRYPTION_KEY = hasKey ? key : undefined
      try {
        const ids = await idsIn(world)
        if (hasKey && name === VAULT && !changed.equals(original) && original[0] === 0x5b) {
          expect(ids.join()).toContain('vault-')
        }
      } finally {
        writeFileSync(join(world.directory, name), original)
      }
    }),
    { numRuns },
  )
}
