import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { VaultError } from '../../src/errors.js'
import type { Store } from '../../src/storage/store.js'
import { createToken, revokeTokens } from '../../src/tokens/change.js'
import { encodeHeader, headerDigest, sealRecord } from '../../src/tokens/record-line.js'
import { TokenRecords } from '../../src/tokens/records.js'
import { verifyToken } from '../../src/tokens/verify.js'
import { temporaryDirectory } from '../support/directory.js'
import {
  expectCode,
  forgetMarks,
  HOUR,
  nativeKeys,
  NOW,
  openAccess,
  overwrite,
  readLines,
  SEARCH,
  type TestAccess,
  tutorialKeys,
} from './tokens-support.js'

const TOOLS = { tools: ['web_search'] }

function reasonFor(token: string, records: TokenRecords): string {
  const verdict = verifyToken(token, SEARCH, { records, nowMs: NOW })
  return verdict.allowed ? 'allowed' : verdict.reason
}

/** What a fresh process says to a token: the verdict, or the code of the failure that denies everything. */
function judge(access: TestAccess, token: string): string {
  try {
    return reasonFor(token, TokenRecords.open(access.store, access.keys))
  } catch (error) {
    if (error instanceof VaultError) return error.code
    throw error
  }
}

/** Counts the bytes of token records that are read. */
function countingStore(store: Store): { store: Store; bytesRead(): number } {
  let count = 0
  return {
    bytesRead: () => count,
    store: {
      ...store,
      open: (name) => {
        const reader = store.open(name)
        if (reader === undefined) return undefined
        const { revision, size } = reader
        return {
          revision,
          size,
          read: (position, length) => {
            const bytes = reader.read(position, length)
            count += bytes.length
            return bytes
          },
          close: () => reader.close(),
        }
      },
    },
  }
}

/** Three records: one token revoked, one live. */
async function threeRecords(): Promise<{ access: TestAccess; revoked: string; live: string; bytes: Buffer }> {
  const access = openAccess(temporaryDirectory())
  const revoked = await createToken(access, TOOLS)
  const live = await createToken(access, TOOLS)
  await revokeTokens(access, { names: [revoked.record.id] })
  return { access, revoked: revoked.token, live: live.token, bytes: readFileSync(access.recordsPath) }
}

describe('following the records', () => {
  it('notices what other processes write, without reopening', async () => {
    const directory = temporaryDirectory()
    const access = openAccess(directory)
    const first = await createToken(access, TOOLS)
    const records = TokenRecords.open(access.store, access.keys)
    const other = openAccess(directory)
    const second = await createToken(other, TOOLS)
    expect(reasonFor(second.token, records)).toBe('unknown-id')
    records.refresh()
    expect(reasonFor(second.token, records)).toBe('allowed')
    await revokeTokens(other, { names: [first.record.id] })
    records.refresh()
    expect(reasonFor(first.token, records)).toBe('revoked')
    expect(records.live(NOW)).toEqual([second.record])
    expect(records.live(NOW + HOUR)).toEqual([])
    expect(records.all()).toEqual([{ ...first.record, revokedMs: NOW }, second.record])
  })

  it('begins before there is a file', async () => {
    for (const keys of [nativeKeys(), tutorialKeys()]) {
      const access = openAccess(temporaryDirectory(), { keys })
      const records = TokenRecords.open(access.store, access.keys)
      expect(records.all()).toEqual([])
      const { token } = await createToken(access, TOOLS)
      expect(reasonFor(token, records)).toBe('unknown-id')
      records.refresh()
      expect(reasonFor(token, records)).toBe('allowed')
    }
  })

  it('reads only what is new, and nothing when nothing is', async () => {
    const access = openAccess(temporaryDirectory())
    for (let count = 0; count < 20; count++) await createToken(access, TOOLS)
    const { store, bytesRead } = countingStore(access.store)
    const records = TokenRecords.open(store, access.keys)
    const whole = bytesRead()
    expect(whole).toBe(statSync(access.recordsPath).size)
    records.refresh()
    expect(bytesRead()).toBe(whole)
    const { token } = await createToken(access, TOOLS)
    records.refresh()
    expect(reasonFor(token, records)).toBe('allowed')
    // The new line, and the last known one as the proof that the file goes on behind it.
    expect(bytesRead() - whole).toBeLessThan(whole / 5)
  })

  it('looks at the mode of the file every time, also when nothing was written', async () => {
    const { access, live } = await threeRecords()
    const records = TokenRecords.open(access.store, access.keys)
    chmodSync(access.recordsPath, 0o666)
    await expectCode('UNSAFE', () => records.refresh())
    expect(reasonFor(live, records)).toBe('damaged-records')
    chmodSync(access.recordsPath, 0o600)
    records.refresh()
    expect(reasonFor(live, records)).toBe('allowed')
  })

  it('starts over when the file was replaced by one that says the same and more', async () => {
    const access = openAccess(temporaryDirectory())
    await createToken(access, TOOLS)
    const records = TokenRecords.open(access.store, access.keys)
    const { token } = await createToken(access, TOOLS)
    const copy = `${access.recordsPath}.copy`
    writeFileSync(copy, readFileSync(access.recordsPath), { mode: 0o600 })
    renameSync(copy, access.recordsPath)
    records.refresh()
    expect(reasonFor(token, records)).toBe('allowed')
  })

  it('denies everything from a failed refresh on, and recovers with the file', async () => {
    const { access, live, bytes } = await threeRecords()
    const records = TokenRecords.open(access.store, access.keys)
    overwrite(access.recordsPath, bytes.subarray(0, bytes.length - 10))
    await expectCode('RESTORED', () => records.refresh())
    expect(reasonFor(live, records)).toBe('damaged-records')
    await expectCode('RESTORED', () => records.refresh())
    expect(records.all()).toEqual([])
    overwrite(access.recordsPath, bytes)
    records.refresh()
    expect(reasonFor(live, records)).toBe('allowed')
  })

  it('denies everything once it is closed', async () => {
    const { access, live } = await threeRecords()
    const records = TokenRecords.open(access.store, access.keys)
    records.close()
    expect(reasonFor(live, records)).toBe('damaged-records')
    expect(records.tokensKey).toBeUndefined()
  })
})

describe('bytes', () => {
  it('a file cut at any length never lets a revoked token pass, and never crashes', async () => {
    const { access, revoked, live, bytes } = await threeRecords()
    const outcomes = new Set<string>()
    for (let length = 0; length < bytes.length; length++) {
      overwrite(access.recordsPath, bytes.subarray(0, length))
      for (const token of [revoked, live]) outcomes.add(judge(access, token))
    }
    expect(outcomes).toEqual(new Set(['DAMAGED', 'RESTORED']))
    overwrite(access.recordsPath, bytes)
    expect([judge(access, revoked), judge(access, live)]).toEqual(['revoked', 'allowed'])
  })

  it('the control: without the mark, a cut file does let a revoked token pass, so the sweep above can see it', async () => {
    const { access, revoked, bytes } = await threeRecords()
    const outcomes = new Set<string>()
    const ends = [...bytes.keys()].filter((at) => at % 16 === 0 || bytes[at - 1] === 0x0a)
    for (const length of ends) {
      overwrite(access.recordsPath, bytes.subarray(0, length))
      forgetMarks(join(access.recordsPath, '..'))
      outcomes.add(judge(access, revoked))
    }
    expect(outcomes).toEqual(new Set(['DAMAGED', 'unknown-id', 'allowed']))
  })

  it('any flipped byte is noticed, with the mark and without', async () => {
    const { access, revoked, live, bytes } = await threeRecords()
    for (const mask of [0x01, 0x80]) {
      for (let at = 0; at < bytes.length; at++) {
        const changed = Buffer.from(bytes)
        changed[at] = (changed[at] ?? 0) ^ mask
        overwrite(access.recordsPath, changed)
        for (const token of [revoked, live]) {
          // The last newline is all that tells a record from a torn one; without it the mark speaks.
          expect(['DAMAGED', ...(at === bytes.length - 1 ? ['RESTORED'] : [])]).toContain(judge(access, token))
        }
      }
    }
    forgetMarks(join(access.recordsPath, '..'))
    for (let at = 0; at < bytes.length - 1; at++) {
      const changed = Buffer.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ 0x01
      overwrite(access.recordsPath, changed)
      expect(judge(access, revoked)).toBe('DAMAGED')
    }
  })

  it('lines moved, repeated, dropped or added are noticed', async () => {
    const { access, revoked } = await threeRecords()
    const [header = '', first = '', second = '', third = ''] = readLines(access.recordsPath)
    const arrangements = [
      [first, second, third],
      [header, second, first, third],
      [header, first, third, second],
      [header, first, third],
      [header, first, first, second, third],
      [header, first, second, third, third],
      [header, first, second, third, second],
      [header, '', first, second, third],
      [header, first, second, third, ''],
      [header, header, first, second, third],
      [header, first, second, `${third}\r`],
      [header, first, second, ` ${third}`],
      [header, first, second, third, '{"seq":4,"type":"revoke","id":"00"}'],
    ]
    for (const lines of arrangements) {
      overwrite(access.recordsPath, lines.map((line) => `${line}\n`).join(''))
      expect(judge(access, revoked)).toBe('DAMAGED')
    }
  })

  it.each(['', '\n', '{}\n', '[]\n', 'null\n', '{"mcpvault_tokens":2,"store_id":"EREREREREREREREREREREQ"}\n'])(
    'a file that holds %j is damaged',
    async (text) => {
      const { access, live } = await threeRecords()
      overwrite(access.recordsPath, text)
      expect(judge(access, live)).toBe('DAMAGED')
    },
  )

  it('bytes behind the last newline are a torn write and change nothing', async () => {
    const { access, revoked, live, bytes } = await threeRecords()
    for (const tail of ['{', '{"seq":4,"type":"revoke"', '\0'.repeat(5000), bytes.toString('utf8').split('\n')[1]]) {
      overwrite(access.recordsPath, Buffer.concat([bytes, Buffer.from(tail ?? '')]))
      expect([judge(access, revoked), judge(access, live)]).toEqual(['revoked', 'allowed'])
    }
  })

  it('a file that is no file is refused', async () => {
    const { access, live } = await threeRecords()
    rmSync(access.recordsPath)
    mkdirSync(access.recordsPath)
    expect(judge(access, live)).toBe('INPUT')
  })

  it('a file that others can write is refused', async () => {
    const { access, live } = await threeRecords()
    chmodSync(access.recordsPath, 0o666)
    expect(judge(access, live)).toBe('UNSAFE')
  })
})

describe('keys', () => {
  it('records of another vault or under another key are refused', async () => {
    const { access, live } = await threeRecords()
    const stranger = await expectCode('DAMAGED', () => TokenRecords.open(access.store, nativeKeys(0x22)))
    expect(stranger.message).toContain('they belong to another vault')
    const other = { ...nativeKeys(), tokensKey: nativeKeys(0x22).tokensKey }
    expect(judge({ ...access, keys: other }, live)).toBe('DAMAGED')
  })

  it('a tutorial file draws its own id, and another master key does not fit', async () => {
    const access = openAccess(temporaryDirectory(), { keys: tutorialKeys() })
    const { token } = await createToken(access, TOOLS)
    expect(judge(access, token)).toBe('allowed')
    expect(judge({ ...access, keys: tutorialKeys(Buffer.alloc(32, 9)) }, token)).toBe('DAMAGED')
    const second = openAccess(temporaryDirectory(), { keys: tutorialKeys() })
    await createToken(second, TOOLS)
    expect(readLines(second.recordsPath)[0]).not.toBe(readLines(access.recordsPath)[0])
  })

  it('records that only a broken writer could make are refused: an id twice, a revocation of nothing', async () => {
    const { access, live } = await threeRecords()
    const keys = nativeKeys()
    const header = encodeHeader(keys.tokenStoreId ?? Buffer.alloc(0))
    const tokensKey = keys.tokensKey(Buffer.alloc(16)).reveal()
    const create = { type: 'create', id: 'ab'.repeat(16), atMs: NOW, label: undefined, caveats: [] } as const
    const revoke = { type: 'revoke', id: 'cd'.repeat(16), atMs: NOW } as const
    const first = sealRecord(create, tokensKey, { seq: 1, previousMac: headerDigest(header) })
    forgetMarks(join(access.recordsPath, '..'))
    for (const entry of [create, revoke]) {
      const { line } = sealRecord(entry, tokensKey, { seq: 2, previousMac: first.mac })
      overwrite(access.recordsPath, `${header}\n${first.line}\n${line}\n`)
      expect(judge(access, live)).toBe('DAMAGED')
    }
    // The control: the same hand makes records that are believed.
    const { line } = sealRecord({ ...revoke, id: create.id }, tokensKey, { seq: 2, previousMac: first.mac })
    overwrite(access.recordsPath, `${header}\n${first.line}\n${line}\n`)
    expect(judge(access, live)).toBe('unknown-id')
  })
})

describe('old copies', () => {
  it('an older copy is refused, on this machine and by a process that cannot keep marks', async () => {
    const access = openAccess(temporaryDirectory())
    const { token } = await createToken(access, TOOLS)
    const older = readFileSync(access.recordsPath)
    await revokeTokens(access, { names: [token] })
    const running = TokenRecords.open(access.store, access.keys)
    overwrite(access.recordsPath, older)
    expect(judge(access, token)).toBe('RESTORED')
    forgetMarks(join(access.recordsPath, '..'))
    await expectCode('RESTORED', () => running.refresh())
    expect(reasonFor(token, running)).toBe('damaged-records')
  })

  it('a fork of the same length is refused', async () => {
    const access = openAccess(temporaryDirectory())
    const { token } = await createToken(access, TOOLS)
    const older = readFileSync(access.recordsPath)
    await revokeTokens(access, { names: [token] })
    const mine = readFileSync(access.recordsPath)
    overwrite(access.recordsPath, older)
    forgetMarks(join(access.recordsPath, '..'))
    await createToken(access, TOOLS)
    await createToken(access, TOOLS)
    const fork = readFileSync(access.recordsPath)
    overwrite(access.recordsPath, mine)
    expect(judge(access, token)).toBe('RESTORED')
    forgetMarks(join(access.recordsPath, '..'))
    expect(judge(access, token)).toBe('revoked')
    // Longer than what was seen, and yet not its continuation.
    overwrite(access.recordsPath, fork)
    expect(judge(access, token)).toBe('RESTORED')
  })

  it('a missing file is refused where one was seen', async () => {
    const { access, live } = await threeRecords()
    const running = TokenRecords.open(access.store, access.keys)
    rmSync(access.recordsPath)
    expect(judge(access, live)).toBe('RESTORED')
    await expectCode('RESTORED', () => running.refresh())
    await expectCode('RESTORED', () => createToken(access, TOOLS))
  })

  it('a missing file of a tutorial vault is refused by whoever saw it, and a new one voids every old token', async () => {
    const access = openAccess(temporaryDirectory(), { keys: tutorialKeys() })
    const { token, record } = await createToken(access, TOOLS)
    const running = TokenRecords.open(access.store, access.keys)
    rmSync(access.recordsPath)
    await expectCode('RESTORED', () => running.refresh())
    expect(judge(access, token)).toBe('unknown-id')
    // Even a record of the very same id does not bring the token back: its key is gone with the store id.
    let drawn = 0
    const twin = openAccess(join(access.recordsPath, '..'), {
      keys: tutorialKeys(),
      randomBytes: (length) => (drawn++ === 0 ? Buffer.from(record.id, 'hex') : Buffer.alloc(length, 3)),
    })
    expect((await createToken(twin, TOOLS)).record.id).toBe(record.id)
    expect(judge(access, token)).toBe('bad-signature')
  })

  it('a damaged mark denies everything', async () => {
    const { access, live } = await threeRecords()
    const mark = join(access.recordsPath, '..', 'state', `${nativeKeys().tokenStoreId?.toString('base64url')}.json`)
    overwrite(mark, readFileSync(mark, 'utf8').replace('"seq":3', '"seq":2'))
    expect(judge(access, live)).toBe('DAMAGED')
  })

  it('a machine that first sees longer records refuses shorter ones from then on', async () => {
    const { access, live, bytes } = await threeRecords()
    forgetMarks(join(access.recordsPath, '..'))
    expect(judge(access, live)).toBe('allowed')
    const lines = readLines(access.recordsPath)
    overwrite(access.recordsPath, `${lines.slice(0, 3).join('\n')}\n`)
    expect(judge(access, live)).toBe('RESTORED')
    overwrite(access.recordsPath, bytes)
    expect(judge(access, live)).toBe('allowed')
  })

  it('a writer between reading the file and its mark is no restore', async () => {
    const directory = temporaryDirectory()
    const access = openAccess(directory)
    const { token } = await createToken(access, TOOLS)
    const { store } = access
    let isFirst = true
    const bytes = readFileSync(access.recordsPath)
    await revokeTokens(openAccess(directory), { names: [token] })
    const after = readFileSync(access.recordsPath)
    overwrite(access.recordsPath, bytes)
    const racing: Store = {
      ...store,
      marks: {
        ...store.marks,
        // The mark is already the later one when it is read; so is the file from then on.
        read: (id) => {
          if (isFirst) overwrite(access.recordsPath, after)
          isFirst = false
          return store.marks.read(id)
        },
      },
    }
    expect(reasonFor(token, TokenRecords.open(racing, access.keys))).toBe('revoked')
  })
})

describe('--accept-restore', () => {
  it('goes on from an older copy by revoking every token in it', async () => {
    const directory = temporaryDirectory()
    const access = openAccess(directory)
    const first = await createToken(access, TOOLS)
    const second = await createToken(access, TOOLS)
    const older = readFileSync(access.recordsPath)
    await revokeTokens(access, { names: [first.record.id] })
    await createToken(access, TOOLS)
    await createToken(access, TOOLS)
    await createToken(access, TOOLS)
    overwrite(access.recordsPath, older)
    await expectCode('RESTORED', () => createToken(access, TOOLS))
    const accepting = openAccess(directory, { acceptRestore: true })
    const fresh = await createToken(accepting, TOOLS)
    expect(accepting.warnings).toHaveLength(1)
    expect([first, second, fresh].map(({ token }) => judge(access, token))).toEqual(['revoked', 'revoked', 'allowed'])
    await createToken(access, TOOLS)
  })

  it('goes on without the file', async () => {
    const { access, live } = await threeRecords()
    rmSync(access.recordsPath)
    const accepting = openAccess(join(access.recordsPath, '..'), { acceptRestore: true })
    await revokeTokens(accepting, { all: true })
    expect(judge(access, live)).toBe('unknown-id')
    const fresh = await createToken(access, TOOLS)
    expect([live, fresh.token].map((token) => judge(access, token))).toEqual(['unknown-id', 'allowed'])
  })

  it('changes nothing where nothing was restored', async () => {
    const { access, live, bytes } = await threeRecords()
    const accepting = openAccess(join(access.recordsPath, '..'), { acceptRestore: true })
    await createToken(accepting, TOOLS)
    expect(accepting.warnings).toEqual([])
    expect(judge(access, live)).toBe('allowed')
    expect(readFileSync(access.recordsPath).subarray(0, bytes.length)).toEqual(bytes)
  })

  it('does not mend damage', async () => {
    const { access, bytes } = await threeRecords()
    overwrite(access.recordsPath, Buffer.concat([bytes, Buffer.from('x\n')]))
    const accepting = openAccess(join(access.recordsPath, '..'), { acceptRestore: true })
    await expectCode('DAMAGED', () => revokeTokens(accepting, { all: true }))
  })
})
