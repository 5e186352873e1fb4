import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { VaultError } from '../../src/errors.js'
import type { RawKey } from '../../src/vault/key.js'
import { MAX_NAME_BYTES } from '../../src/vault/name.js'
import { formatEntry, isNativeName, type NativeVersion, parseEntry } from '../../src/vault/native-entry.js'
import {
  compareNames,
  fromJournal,
  type JournalEntry,
  rebuildJournal,
  toJournal,
} from '../../src/vault/native-journal.js'
import { parseVault } from '../../src/vault/open.js'
import { readNativeVault } from '../vault/independent-reader.js'
import { secret, VaultWorld, WEEK_SECONDS } from '../vault/vault-support.js'

const NAMES = ['a', 'b', '__proto__', 'constructor', 'Z/z', '10', '9'] as const

type Step =
  | { readonly do: 'store' | 'rotate'; readonly name: string; readonly value: Buffer }
  | { readonly do: 'rollback' | 'remove'; readonly name: string }

const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array))
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constantFrom('store', 'rotate'), name: fc.constantFrom(...NAMES), value: bytes }),
  fc.record({ do: fc.constantFrom('rollback', 'remove'), name: fc.constantFrom(...NAMES) }),
)

/** What a credential ought to hold. */
interface Held {
  readonly ver: number
  readonly current: Buffer
  readonly previous: Buffer | undefined
}

describe('a native vault', () => {
  it('does what a map of names would do, and the independent reader sees the same', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 14 }), async (steps) => {
        const world = await VaultWorld.create()
        const model = new Map<string, Held>()
        let records = 0
        for (const each of steps) {
          const before = model.get(each.name)
          const next = apply(each, before)
          const isDone = await attempt(world, each)
          expect(isDone, `${each.do} ${each.name}`).toBe(next !== undefined)
          if (next === undefined) continue
          records += each.do === 'rotate' && before?.previous !== undefined ? 2 : 1
          if (next === 'gone') model.delete(each.name)
          else model.set(each.name, next)
        }
        const raw = (world.key as RawKey).bytes.reveal()
        const read = readNativeVault(world.read(), { raw })
        const sorted = [...model.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
        expect([...read.entries.keys()]).toEqual(sorted)
        expect(world.open().names()).toEqual(sorted)
        for (const [name, held] of model) {
          const versions = read.entries.get(name)?.versions ?? []
          expect(versions.map(({ value }) => value.toString('hex'))).toEqual(
            [held.current, held.previous].flatMap((value) => (value === undefined ? [] : [value.toString('hex')])),
          )
          expect(versions[0]?.ver).toBe(held.ver)
          expect(world.bytes(name).equals(held.current)).toBe(true)
        }
        expect(world.report()).toMatchObject({ records, problems: [], gaps: [], anchored: true })
      }),
      { numRuns: 25 },
    )
  })

  it('that was altered anywhere is refused, and gives no value', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'old')
    await world.put('b', randomBytes(100))
    await world.rotate('a', 'new')
    const whole = world.read()
    const position = fc.nat({ max: whole.length - 1 })
    const edit = fc.oneof(
      fc.record({ at: position, length: fc.constant(0), put: fc.uint8Array({ minLength: 1, maxLength: 5 }) }),
      fc.record({ at: position, length: fc.integer({ min: 1, max: 60 }), put: fc.uint8Array({ maxLength: 60 }) }),
      // A piece of the file itself in another place of it.
      fc
        .record({ at: position, length: fc.nat({ max: 300 }), from: position, size: fc.nat({ max: 300 }) })
        .map(({ at, length, from, size }) => ({ at, length, put: whole.subarray(from, from + size) })),
    )
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
        let altered = whole
        for (const { at, length, put } of edits) {
          altered = Buffer.concat([altered.subarray(0, at), put, altered.subarray(at + length)])
        }
        fc.pre(!altered.equals(whole))
        try {
          const vault = parseVault(altered, world.key)
          vault.load('a', { nowMs: world.nowMs })
        } catch (error) {
          expect(error instanceof VaultError && ['DAMAGED', 'WRONG_KEY'].includes(error.code)).toBe(true)
          return
        }
        throw new Error('an altered vault was opened')
      }),
      { numRuns: 10_000 },
    )
    expect(parseVault(whole, world.key).load('a', { nowMs: world.nowMs }).revealText()).toBe('new')
  })
})

const POLICIES = [
  { max_age: 0 },
  { grace: 1 },
  { max_age: 2, grace: 3 },
  { provider: 'command:["a","b c"]', idempotent: true },
  {
    max_age: 2,
    grace: 3,
    provider: 'manual',
    verify: 'scavio',
    targets: ['file:a', 'env:b#C'],
    on_rotate: '/bin/true',
  },
] as const

/** The members of a version as a file has them. */
function inFileOrder(version: Partial<NativeVersion>): NativeVersion {
  const order = ['ver', 'stage', 'n', 'c', 'created', 'since', 'until', 'leaked', 'handle', 'revoke', 'revoke_failed']
  const members = order.map((name) => [name, version[name as keyof NativeVersion]] as const)
  return Object.fromEntries(members.filter(([, member]) => member !== undefined)) as unknown as NativeVersion
}

describe('an entry line', () => {
  const time = fc.date({ min: new Date(0), max: new Date(4e12), noInvalidDate: true }).map((date) => date.toISOString())
  const version = (stage: 'pending' | 'current' | 'previous') =>
    fc
      .record(
        {
          ver: fc.integer({ min: 1 }),
          n: fc.constant('A'.repeat(16)),
          c: bytes,
          created: time,
          since: time,
          until: time,
          leaked: time,
          handle: fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()),
          revoke: fc.constantFrom('none', 'provider'),
          revoke_failed: time,
        },
        { requiredKeys: ['ver', 'n', 'c', 'created'] },
      )
      .map(({ ver, n, c, ...times }) => ({ ver, stage, n, c: c.toString('base64url'), ...times }))

  it('is read as it was written, and in no other spelling', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 80 }),
        version('current'),
        fc.array(version('previous'), { maxLength: 2 }),
        fc.option(version('pending'), { nil: undefined }),
        fc.option(fc.constantFrom(...POLICIES), { nil: undefined }),
        fc.option(fc.string({ unit: 'binary' }), { nil: undefined }),
        (name, current, previous, pending, policy, note) => {
          const versions = [current, ...(pending ? [pending] : []), ...previous].map(inFileOrder)
          const entry = {
            versions,
            ...(policy === undefined ? {} : { policy }),
            ...(note === undefined ? {} : { note }),
          }
          const line = formatEntry(name, entry)
          expect(isNativeName(name)).toBe(name.isWellFormed() && Buffer.byteLength(name) <= MAX_NAME_BYTES)
          if (!isNativeName(name)) {
            expect(() => parseEntry(line)).toThrow(VaultError)
            return
          }
          expect(parseEntry(line)).toEqual([name, entry])
          const spaced = Buffer.from(line.toString().replace(',{"versions"', ', {"versions"'))
          expect(() => parseEntry(spaced)).toThrow(VaultError)
        },
      ),
      { numRuns: 500 },
    )
  })

  it.each([
    '{}',
    '{"max_age":-1}',
    '{"max_age":1.5}',
    '{"grace":1,"max_age":1}',
    '{"max_age":1,"other":1}',
    '[]',
    '"7d"',
    'null',
    '{"targets":[]}',
    '{"targets":"file:a"}',
    '{"idempotent":false}',
    '{"verify":1}',
  ])('is refused with the policy %s', (policy) => {
    const versions = '[{"ver":1,"stage":"current","n":"AAAAAAAAAAAAAAAA","c":"","created":"2026-11-23T00:00:00.000Z"}]'
    const line = (member: string) => Buffer.from(`["a",{"versions":${versions}${member}}],\n`)
    expect(parseEntry(line(',"policy":{"max_age":1}'))[1].policy).toEqual({ max_age: 1 })
    expect(() => parseEntry(line(`,"policy":${policy}`))).toThrow(VaultError)
  })
})

describe('a journal', () => {
  const text = fc.string({ unit: 'binary', maxLength: 20 }).filter((one) => one.isWellFormed())
  const element = fc
    .record(
      {
        name: text,
        ver: fc.integer({ min: 1 }),
        stage: fc.constantFrom('obtain', 'verify', 'targets'),
        id: fc.constant('0f'.repeat(16)),
        started: fc.constant('2026-11-23T00:00:00.000Z'),
        owner: fc.record({ pid: fc.integer({ min: 1 }), start: text, boot: text, machine: text, namespace: text }),
        unknown: fc.constant(true),
        provider: text,
        verify: text,
        targets: fc.array(text, { minLength: 1, maxLength: 3 }),
        on_rotate: text,
        grace: fc.nat(),
        reason: text,
      },
      { requiredKeys: ['name', 'ver', 'stage', 'id', 'started', 'provider'] },
    )
    .map((value) => value as JournalEntry)

  it('is read as it was written, and becomes the same rotations again', () => {
    fc.assert(
      fc.property(fc.uniqueArray(element, { selector: ({ name }) => name, maxLength: 4 }), (elements) => {
        const sorted = elements.toSorted(compareNames)
        const rotations = sorted.map(fromJournal)
        const written = rotations.map(toJournal)
        expect(written).toEqual(sorted)
        const read = rebuildJournal(JSON.parse(JSON.stringify(written)))
        expect(JSON.stringify(read)).toBe(JSON.stringify(written))
        if (written.length > 1) expect(rebuildJournal(written.toReversed())).toBeUndefined()
        expect(rebuildJournal([...written, ...written.slice(-1)])).toEqual(written.length === 0 ? [] : undefined)
      }),
      { numRuns: 200 },
    )
  })

  it.each(['stage', 'id', 'started', 'ver', 'provider', 'owner', 'unknown', 'targets'])(
    'is refused with a wrong %s',
    (member) => {
      const good = {
        name: 'a',
        ver: 1,
        stage: 'obtain',
        id: '0f'.repeat(16),
        started: '2026-11-23T00:00:00.000Z',
        provider: '',
      }
      expect(rebuildJournal([good])).toEqual([good])
      expect(rebuildJournal([{ ...good, [member]: [0] }])).toBeUndefined()
    },
  )
})

/** What ought to become of a credential; undefined where the step must be refused. */
function apply(each: Step, held: Held | undefined): Held | 'gone' | undefined {
  switch (each.do) {
    case 'store':
      return held === undefined ? { ver: 1, current: each.value, previous: undefined } : undefined
    case 'rotate':
      if (held === undefined || held.current.equals(each.value)) return undefined
      return { ver: held.ver + 1, current: each.value, previous: held.current }
    case 'rollback':
      if (held?.previous === undefined) return undefined
      return { ver: held.ver + 1, current: held.previous, previous: held.current }
    case 'remove':
      return held === undefined ? undefined : 'gone'
  }
}

/** Does a step; tells whether it was done, or refused without a trace. */
async function attempt(world: VaultWorld, each: Step): Promise<boolean> {
  const before = world.read()
  try {
    await world.change((draft) => {
      if (each.do === 'store') draft.store(each.name, secret(each.value), {})
      else if (each.do === 'rotate') draft.rotate(each.name, secret(each.value), { graceSeconds: WEEK_SECONDS })
      else if (each.do === 'rollback') draft.rollback(each.name, { graceSeconds: WEEK_SECONDS })
      else draft.remove(each.name, {})
    })
    return true
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    expect(world.read().equals(before)).toBe(true)
    return false
  }
}
