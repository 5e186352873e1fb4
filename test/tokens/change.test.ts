import { randomBytes } from 'node:crypto'
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { VaultError } from '../../src/errors.js'
import { ConflictError, type Store, type Transaction } from '../../src/storage/store.js'
import { createToken, revokeTokens } from '../../src/tokens/change.js'
import { TokenRecords } from '../../src/tokens/records.js'
import { decodeToken, narrowToken } from '../../src/tokens/token.js'
import { verifyToken } from '../../src/tokens/verify.js'
import { temporaryDirectory } from '../support/directory.js'
import {
  expectCode,
  forgetMarks,
  HOUR,
  nativeKeys,
  NOW,
  openAccess,
  openStore,
  readLines,
  SEARCH,
  type TestAccess,
  tutorialKeys,
} from './tokens-support.js'

const TOOLS = { tools: ['web_search'] }

function reasonFor(access: TestAccess, token: string, nowMs = NOW): string {
  const verdict = verifyToken(token, SEARCH, { records: TokenRecords.open(access.store, access.keys), nowMs })
  return verdict.allowed ? 'allowed' : verdict.reason
}

/** A store whose first few appends find that somebody wrote meanwhile. */
function conflictingStore(store: Store, conflicts: number): Store {
  let left = conflicts
  const wrap = (transaction: Transaction): Transaction => ({
    read: (name) => transaction.read(name),
    open: (name) => transaction.open(name),
    replace: (name, bytes, options) => transaction.replace(name, bytes, options),
    discardPrevious: (name) => transaction.discardPrevious(name),
    append: (name, bytes, options) => {
      if (left-- > 0) throw new ConflictError('somebody wrote')
      return transaction.append(name, bytes, options)
    },
  })
  return { ...store, transaction: (command, body) => store.transaction(command, (tx) => body(wrap(tx))) }
}

describe.each([
  ['native', nativeKeys()],
  ['tutorial', tutorialKeys()],
])('with the keys of a %s vault', (_format, keys) => {
  it('a created token is allowed, by this process and by others, until it is revoked', async () => {
    const directory = temporaryDirectory()
    const access = openAccess(directory, { keys })
    const { token, record } = await createToken(access, { ...TOOLS, label: 'ci' })
    expect(decodeToken(token)?.identifier.toString('hex')).toBe(record.id)
    expect(reasonFor(access, token)).toBe('allowed')
    expect(await revokeTokens(openAccess(directory, { keys }), { names: [record.id] })).toEqual([record])
    expect(reasonFor(access, token)).toBe('revoked')
    expect(reasonFor(access, narrowToken(token, { tools: ['web_search'] }))).toBe('revoked')
  })

  it('nothing is written where nothing is revoked', async () => {
    const access = openAccess(temporaryDirectory(), { keys })
    expect(await revokeTokens(access, { all: true })).toEqual([])
    await expectCode('NOT_FOUND', () => revokeTokens(access, { names: ['ci'] }))
    expect(existsSync(access.recordsPath)).toBe(false)
  })
})

describe('records that cannot be read back', () => {
  /** A store whose records cannot be opened any more once something was written. */
  function failingStore(store: Store): Store {
    let isWritten = false
    const written = <T>(result: T): T => {
      isWritten = true
      return result
    }
    const wrap = (transaction: Transaction): Transaction => ({
      read: (name) => transaction.read(name),
      open: (name) => {
        if (isWritten) throw new VaultError('IO', 'cannot read the token records: the disk reported an I/O error')
        return transaction.open(name)
      },
      replace: (name, bytes, options) => written(transaction.replace(name, bytes, options)),
      discardPrevious: (name) => transaction.discardPrevious(name),
      append: (name, bytes, options) => written(transaction.append(name, bytes, options)),
    })
    return { ...store, transaction: (command, body) => store.transaction(command, (tx) => body(wrap(tx))) }
  }

  it('are written but not confirmed, the first ones and later ones', async () => {
    const directory = temporaryDirectory()
    for (const label of ['first', 'second']) {
      const access = openAccess(directory, { store: failingStore(openStore(directory)) })
      const failure = await expectDurability(() => createToken(access, { ...TOOLS, label }))
      expect(failure.message).toMatch(/^the token records were written, but cannot read/)
    }
    const { store, keys } = openAccess(directory)
    const labels = TokenRecords.open(store, keys)
      .all()
      .map(({ label }) => label)
    expect(labels).toEqual(['first', 'second'])
  })

  async function expectDurability(run: () => Promise<unknown>): Promise<VaultError> {
    const failure = await run().catch((error: unknown) => error)
    if (!(failure instanceof VaultError)) throw failure
    expect(failure.code).toBe('DURABILITY')
    return failure
  }
})

describe('createToken', () => {
  it('writes methods, tools and before, in that order, for an hour unless told', async () => {
    const access = openAccess(temporaryDirectory())
    const { token } = await createToken(access, { tools: ['web_search', 'github/get_issue', 'web_search'] })
    expect(decodeToken(token)?.caveats.map(String)).toEqual([
      '{"methods":["tools"]}',
      '{"tools":["web_search","github/get_issue"]}',
      '{"before":"2026-11-22T19:00:00Z"}',
    ])
    const longest = await createToken(access, { ...TOOLS, methods: ['tools', 'metrics'], ttlSeconds: 30 * 86_400 })
    expect(decodeToken(longest.token)?.caveats.map(String)).toEqual([
      '{"methods":["tools","metrics"]}',
      '{"tools":["web_search"]}',
      '{"before":"2026-12-22T18:00:00Z"}',
    ])
  })

  it('writes "*" when it is asked for alone', async () => {
    const access = openAccess(temporaryDirectory())
    const { token } = await createToken(access, { tools: ['*'] })
    expect(reasonFor(access, token)).toBe('allowed')
    await expectCode('INPUT', () => createToken(access, { tools: ['*', 'web_search'] }))
  })

  it('records the id, label and caveats, never the token or anything secret, for the owner alone', async () => {
    const access = openAccess(temporaryDirectory())
    const { token, record } = await createToken(access, { ...TOOLS, label: 'ci' })
    const [header, line, ...more] = readLines(access.recordsPath)
    expect(more).toEqual([])
    expect(header).toBe('{"mcpvault_tokens":1,"store_id":"EREREREREREREREREREREQ"}')
    const macLength = 43
    expect(line?.slice(0, -macLength - 2)).toBe(
      `{"seq":1,"type":"create","id":"${record.id}","at":"2026-11-22T18:00:00.000Z","label":"ci","caveats":` +
        '[{"methods":["tools"]},{"tools":["web_search"]},{"before":"2026-11-22T19:00:00Z"}],"mac":"',
    )
    expect(`${header}${line}`).not.toContain(decodeToken(token)?.signature.toString('base64url'))
    expect(statSync(access.recordsPath).mode & 0o777).toBe(0o600)
  })

  it('refuses lives under a second and over 30 days', async () => {
    const access = openAccess(temporaryDirectory())
    for (const ttlSeconds of [0, -1, 30 * 86_400 + 1, Number.NaN, Number.POSITIVE_INFINITY]) {
      await expectCode('INPUT', () => createToken(access, { ...TOOLS, ttlSeconds }))
    }
    expect(existsSync(access.recordsPath)).toBe(false)
  })

  it('refuses tools that are none and lists that make the token too long, and records nothing', async () => {
    const access = openAccess(temporaryDirectory())
    await createToken(access, TOOLS)
    const tools = Array.from({ length: 60 }, (_, index) => `${index}`.padEnd(120, 'x'))
    for (const names of [[], ['a b'], ['web_*'], tools]) {
      await expectCode('INPUT', () => createToken(access, { tools: names }))
    }
    expect(readLines(access.recordsPath)).toHaveLength(2)
  })

  it('refuses labels that could be taken for something else', async () => {
    const access = openAccess(temporaryDirectory())
    for (const label of ['', ' ', 'a b', '-x', 'a\n', 'x'.repeat(65), 'ab'.repeat(16), 'mcpv_x', 'é']) {
      await expectCode('INPUT', () => createToken(access, { ...TOOLS, label }))
    }
    await createToken(access, { ...TOOLS, label: 'team/ci:nightly@2' })
  })

  it('refuses the label of a live token, and gives it again once that is revoked or expired', async () => {
    const directory = temporaryDirectory()
    const access = openAccess(directory)
    await createToken(access, { ...TOOLS, label: 'ci' })
    await expectCode('EXISTS', () => createToken(access, { ...TOOLS, label: 'ci' }))
    await revokeTokens(access, { names: ['ci'] })
    await createToken(access, { ...TOOLS, label: 'ci' })
    const later = openAccess(directory, { now: () => NOW + HOUR })
    const { record } = await createToken(later, { ...TOOLS, label: 'ci' })
    expect(await revokeTokens(later, { names: ['ci'] })).toEqual([record])
  })

  it('never gives two tokens one id', async () => {
    const access = openAccess(temporaryDirectory(), { randomBytes: (length) => Buffer.alloc(length, 5) })
    await createToken(access, TOOLS)
    await expect(createToken(access, TOOLS)).rejects.toThrow(/repeats itself/)
    expect(readLines(access.recordsPath)).toHaveLength(2)
  })
})

describe('revokeTokens', () => {
  it('takes ids, labels and tokens, narrowed ones too, in one go', async () => {
    const access = openAccess(temporaryDirectory())
    const byId = await createToken(access, TOOLS)
    const byLabel = await createToken(access, { ...TOOLS, label: 'ci' })
    const byText = await createToken(access, TOOLS)
    const kept = await createToken(access, TOOLS)
    const names = [byId.record.id, 'ci', narrowToken(byText.token, { beforeEpochMs: NOW }), byId.record.id]
    expect(await revokeTokens(access, { names })).toEqual([byId.record, byLabel.record, byText.record])
    for (const { token } of [byId, byLabel, byText]) expect(reasonFor(access, token)).toBe('revoked')
    expect(reasonFor(access, kept.token)).toBe('allowed')
    expect(readLines(access.recordsPath)).toHaveLength(1 + 4 + 3)
  })

  it('revokes nothing when one of several is unknown', async () => {
    const access = openAccess(temporaryDirectory())
    const { token, record } = await createToken(access, TOOLS)
    const stranger = await createToken(openAccess(temporaryDirectory()), TOOLS)
    for (const unknown of ['ci', '00'.repeat(16), stranger.token]) {
      await expectCode('NOT_FOUND', () => revokeTokens(access, { names: [record.id, unknown] }))
    }
    await expectCode('INPUT', () => revokeTokens(access, { names: [record.id, 'mcpv_nonsense'] }))
    expect(reasonFor(access, token)).toBe('allowed')
  })

  it('twice is no error and writes nothing', async () => {
    const access = openAccess(temporaryDirectory())
    const { token, record } = await createToken(access, { ...TOOLS, label: 'ci' })
    await revokeTokens(access, { names: ['ci'] })
    const { size } = statSync(access.recordsPath)
    for (const name of ['ci', record.id, token]) expect(await revokeTokens(access, { names: [name] })).toEqual([])
    expect(statSync(access.recordsPath).size).toBe(size)
  })

  it('all revokes every token, expired ones too, since clocks go backwards', async () => {
    const directory = temporaryDirectory()
    const access = openAccess(directory)
    const expired = await createToken(access, { ...TOOLS, ttlSeconds: 1 })
    const live = await createToken(access, TOOLS)
    const later = openAccess(directory, { now: () => NOW + 2000 })
    expect(await revokeTokens(later, { all: true })).toEqual([expired.record, live.record])
    expect(reasonFor(access, expired.token)).toBe('revoked')
    expect(await revokeTokens(later, { all: true })).toEqual([])
  })
})

describe('changes at the same time', () => {
  it('start again when somebody wrote without the lock, and give up in the end', async () => {
    const directory = temporaryDirectory()
    await createToken(openAccess(directory), TOOLS)
    const busy = openAccess(directory, { store: conflictingStore(openStore(directory), 5) })
    const { token } = await createToken(busy, TOOLS)
    expect(reasonFor(openAccess(directory), token)).toBe('allowed')
    const hopeless = openAccess(directory, { store: conflictingStore(openStore(directory), 1000) })
    await expectCode('LOCKED', () => createToken(hopeless, TOOLS))
  })

  it('keep every record when twelve commands begin together, the first of them included', async () => {
    const directory = temporaryDirectory()
    const created = await Promise.all(Array.from({ length: 12 }, () => createToken(openAccess(directory), TOOLS)))
    const access = openAccess(directory)
    for (const { token } of created) expect(reasonFor(access, token)).toBe('allowed')
    expect(readLines(access.recordsPath)).toHaveLength(13)
  })

  it('cut a torn record off and go on', async () => {
    const directory = temporaryDirectory()
    const access = openAccess(directory)
    const first = await createToken(access, TOOLS)
    writeFileSync(
      access.recordsPath,
      Buffer.concat([Buffer.from('{"seq":2,"type":"rev'), randomBytes(4000).filter((byte) => byte !== 10)]),
      { flag: 'a' },
    )
    expect(reasonFor(access, first.token)).toBe('allowed')
    const second = await createToken(access, TOOLS)
    expect(readLines(access.recordsPath)).toHaveLength(3)
    for (const { token } of [first, second]) expect(reasonFor(access, token)).toBe('allowed')
  })
})

it('on a machine that has seen nothing, whole records are simply believed', async () => {
  const directory = temporaryDirectory()
  const access = openAccess(directory)
  const { token } = await createToken(access, TOOLS)
  forgetMarks(directory)
  expect(reasonFor(access, token)).toBe('allowed')
})
