import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ConflictError, type Store, type Transaction } from '../../src/storage/store.js'
import {
  announceMissing,
  expectCode,
  failureOf,
  HOST,
  leftovers,
  makeDirectory,
  openStore,
  pathsIn,
  put,
  removeDirectory,
  textOf,
} from './storage-support.js'

let directory: string
let vault: string
let store: Store

beforeEach(() => {
  directory = makeDirectory()
  vault = pathsIn(directory).vault
  store = openStore(directory)
})
afterEach(() => removeDirectory(directory))

const modeOf = (path: string): string => (statSync(path).mode & 0o7777).toString(8)

describe('replacing a document', () => {
  test('creates it, with a mode for nobody else, and leaves nothing beside it', async () => {
    const revision = await put(store, 'one')
    expect(textOf(store)).toBe('one')
    expect(store.read('vault')?.revision).toEqual(revision)
    expect(modeOf(vault)).toBe('600')
    expect(leftovers(directory)).toEqual([])
  })

  test('puts a new inode in its place, of the same mode', async () => {
    await put(store, 'one')
    chmodSync(vault, 0o640)
    const inode = statSync(vault).ino
    const revision = await put(store, 'two')
    expect(textOf(store)).toBe('two')
    expect(statSync(vault).ino).not.toBe(inode)
    expect(modeOf(vault)).toBe('640')
    expect(store.read('vault')?.revision).toEqual(revision)
    expect(leftovers(directory)).toEqual([])
  })

  test('keeps the owner and the group', async () => {
    if (HOST.uid !== 0) return
    await put(store, 'one')
    chownSync(vault, 1234, 5678)
    chmodSync(vault, 0o640)
    await put(store, 'two')
    expect(statSync(vault)).toMatchObject({ uid: 1234, gid: 5678 })
    expect(modeOf(vault)).toBe('640')
  })

  test('hands the bytes as they are on the disk to verify, and changes nothing when it refuses', async () => {
    await put(store, 'one')
    const seen: string[] = []
    const verify = (bytes: Buffer): void => {
      seen.push(bytes.toString())
      throw new RangeError('refused')
    }
    const failure = await failureOf(() => put(store, 'two', { verify }))
    expect(failure.message).toBe('refused')
    expect(seen).toEqual(['two'])
    expect(textOf(store)).toBe('one')
    expect(leftovers(directory)).toEqual([])
  })

  test('shows the new bytes and their revision within the transaction', async () => {
    await store.transaction('store', (tx) => {
      const revision = tx.replace('vault', Buffer.from('one'), { expected: undefined, verify() {} })
      expect(tx.read('vault')?.revision).toEqual(revision)
      tx.replace('vault', Buffer.from('two'), { expected: revision, verify() {} })
    })
    expect(textOf(store)).toBe('two')
  })

  test('follows symbolic links: the target is replaced, the link stays, the lock lies beside the target', async () => {
    mkdirSync(join(directory, 'real'))
    writeFileSync(join(directory, 'real', 'target'), 'one', { mode: 0o600 })
    symlinkSync('hop', vault)
    symlinkSync('real/target', join(directory, 'hop'))
    await put(store, 'two', {
      verify: () => expect(existsSync(join(directory, 'real', 'target.lock'))).toBe(true),
    })
    expect(lstatSync(vault).isSymbolicLink()).toBe(true)
    expect(readFileSync(join(directory, 'real', 'target'), 'utf8')).toBe('two')
  })

  test('creates the target of a dangling link', async () => {
    mkdirSync(join(directory, 'real'))
    symlinkSync('real/target', vault)
    await put(store, 'one')
    expect(lstatSync(vault).isSymbolicLink()).toBe(true)
    expect(readFileSync(join(directory, 'real', 'target'), 'utf8')).toBe('one')
  })

  test('creates missing directories of the vault for nobody else, and changes no existing one', async () => {
    mkdirSync(join(directory, 'there'))
    chmodSync(join(directory, 'there'), 0o755)
    const paths = pathsIn(join(directory, 'there', 'a', 'b'))
    await put(openStore(directory, { paths }), 'one')
    expect(modeOf(join(directory, 'there', 'a', 'b'))).toBe('700')
    expect(modeOf(join(directory, 'there', 'a'))).toBe('700')
    expect(modeOf(join(directory, 'there'))).toBe('755')
  })

  test('leaves no directories behind when the body fails', async () => {
    const paths = pathsIn(join(directory, 'a', 'b'))
    const failing = openStore(directory, { paths }).transaction('rotate', () => {
      throw new RangeError('no such vault')
    })
    await expect(failing).rejects.toThrow('no such vault')
    expect(existsSync(join(directory, 'a'))).toBe(false)
  })
})

describe('another program that writes meanwhile is never overwritten', () => {
  const changes: readonly [string, () => void][] = [
    ['rewrites it in place', () => writeFileSync(vault, 'ONE')],
    ['appends to it', () => appendFileSync(vault, '!')],
    ['removes it', () => unlinkSync(vault)],
    [
      'replaces it',
      () => {
        writeFileSync(`${vault}.theirs`, 'one', { mode: 0o600 })
        renameSync(`${vault}.theirs`, vault)
      },
    ],
    [
      'puts a link in its place',
      () => {
        renameSync(vault, `${vault}.theirs`)
        symlinkSync(`${vault}.theirs`, vault)
      },
    ],
  ]

  test.each(changes)('when it %s before the rename', async (_, change) => {
    await put(store, 'one')
    let left: string | undefined
    const verify = (): void => {
      change()
      left = existsSync(vault) ? readFileSync(vault, 'utf8') : undefined
    }
    expect(await failureOf(() => put(store, 'mine', { verify }))).toBeInstanceOf(ConflictError)
    expect(existsSync(vault) ? readFileSync(vault, 'utf8') : undefined).toBe(left)
    rmSync(`${vault}.theirs`, { force: true })
    expect(leftovers(directory)).toEqual([])
  })

  test.each(changes)('when it %s before the append', async (_, change) => {
    const revision = await put(store, 'one')
    let left: string | undefined
    const append = store.transaction('store', (tx) => {
      change()
      left = existsSync(vault) ? readFileSync(vault, 'utf8') : undefined
      tx.append('vault', Buffer.from('mine'), { expected: revision, at: 3 })
    })
    expect(await failureOf(() => append)).toBeInstanceOf(ConflictError)
    expect(existsSync(vault) ? readFileSync(vault, 'utf8') : undefined).toBe(left)
  })

  test.each(changes)('when it %s at the last moment before the append', async (_, change) => {
    const revision = await put(store, 'one')
    let isNow = false
    // The fence asks the clock how old the lock is: nothing runs later than this before the bytes are written.
    const now = (): number => {
      if (isNow) change()
      isNow = false
      return Date.now()
    }
    const append = openStore(directory, { now }).transaction('store', (tx) => {
      isNow = true
      tx.append('vault', Buffer.from('mine'), { expected: revision, at: 3 })
    })
    expect(await failureOf(() => append)).toBeInstanceOf(ConflictError)
    if (existsSync(vault)) expect(readFileSync(vault, 'utf8')).not.toContain('mine')
  })

  test('when it creates what was not there', async () => {
    const verify = (): void => writeFileSync(vault, 'theirs', { mode: 0o600 })
    expect(await failureOf(() => put(store, 'mine', { verify }))).toBeInstanceOf(ConflictError)
    expect(readFileSync(vault, 'utf8')).toBe('theirs')
    expect(leftovers(directory)).toEqual([])
  })

  test('when it makes the link point elsewhere', async () => {
    writeFileSync(join(directory, 'log.json'), 'one', { mode: 0o600 })
    writeFileSync(join(directory, 'tokens.jsonl'), 'theirs', { mode: 0o600 })
    symlinkSync('log.json', vault)
    const verify = (): void => {
      unlinkSync(vault)
      symlinkSync('tokens.jsonl', vault)
    }
    expect(await failureOf(() => put(store, 'mine', { verify }))).toBeInstanceOf(ConflictError)
    expect(readFileSync(join(directory, 'log.json'), 'utf8')).toBe('one')
    expect(readFileSync(join(directory, 'tokens.jsonl'), 'utf8')).toBe('theirs')
  })

  test('a revision of yesterday is refused before anything is written', async () => {
    const old = await put(store, 'one')
    await put(store, 'two')
    expect(await failureOf(() => put(store, 'three', { expected: old }))).toBeInstanceOf(ConflictError)
    expect(await failureOf(() => put(store, 'three', { expected: undefined }))).toBeInstanceOf(ConflictError)
    expect(textOf(store)).toBe('two')
  })
})

describe('the previous one', () => {
  const backup = (suffix = '.bak'): string => readFileSync(`${vault}${suffix}`, 'utf8')

  test('is kept as .bak, one generation of it, with its mode', async () => {
    await put(store, 'one', { keepPrevious: '.bak' })
    expect(existsSync(`${vault}.bak`)).toBe(false)
    chmodSync(vault, 0o640)
    await put(store, 'two', { keepPrevious: '.bak' })
    expect(backup()).toBe('one')
    expect(modeOf(`${vault}.bak`)).toBe('640')
    await put(store, 'three', { keepPrevious: '.bak' })
    expect(backup()).toBe('two')
    expect(leftovers(directory)).toEqual([])
  })

  test('is not lost when the replacement is refused', async () => {
    await put(store, 'one')
    await put(store, 'two', { keepPrevious: '.bak' })
    const verify = (): void => writeFileSync(vault, 'theirs')
    await failureOf(() => put(store, 'three', { keepPrevious: '.bak', verify }))
    expect(backup()).toBe('one')
    expect(leftovers(directory)).toEqual([])
  })

  test('is right again after a kill between the two renames', async () => {
    await put(store, 'one')
    linkSync(vault, `${vault}.bak`)
    await put(store, 'two', { keepPrevious: '.bak' })
    expect(backup()).toBe('one')
    expect(textOf(store)).toBe('two')
    expect(leftovers(directory)).toEqual([])
  })

  test('is deleted by discardPrevious, which minds nothing when there is none', async () => {
    await put(store, 'one')
    await put(store, 'two', { keepPrevious: '.bak' })
    await store.transaction('remove', (tx) => tx.discardPrevious('vault'))
    expect(existsSync(`${vault}.bak`)).toBe(false)
    await store.transaction('remove', (tx) => tx.discardPrevious('vault'))
    expect(textOf(store)).toBe('two')
  })

  test('is deleted before the version without it takes its place, and stays when that one is refused', async () => {
    await put(store, 'one')
    await put(store, 'two', { keepPrevious: '.bak' })
    const verify = (): void => {
      throw new Error('refused')
    }
    await failureOf(() => put(store, 'three', { dropsPrevious: true, verify }))
    expect(backup()).toBe('one')
    await put(store, 'three', { dropsPrevious: true })
    expect(existsSync(`${vault}.bak`)).toBe(false)
    await put(store, 'four', { dropsPrevious: true })
    expect(textOf(store)).toBe('four')
    expect(leftovers(directory)).toEqual([])
  })

  test('that cannot be kept or deleted is warned of, and the write stands', async () => {
    const warnings: string[] = []
    const warned = openStore(directory, { warn: (text) => warnings.push(text) })
    mkdirSync(`${vault}.bak`)
    writeFileSync(join(`${vault}.bak`, 'theirs'), '')
    await put(warned, 'one')
    await put(warned, 'two', { keepPrevious: '.bak' })
    expect(textOf(warned)).toBe('two')
    await warned.transaction('remove', (tx) => tx.discardPrevious('vault'))
    await put(warned, 'three', { dropsPrevious: true })
    expect(textOf(warned)).toBe('three')
    const stays = (reason: string): string =>
      `"${vault}.bak" may still hold what was removed, since it cannot be deleted (${reason}): rm -ri ${vault}.bak`
    expect(warnings).toEqual([
      `cannot keep what is replaced as "${vault}.bak": it is a directory`,
      stays(`cannot delete the previous vault "${vault}.bak": it is a directory`),
      stays('it is a directory'),
    ])
    expect(leftovers(directory)).toEqual([])
  })

  test('is kept for ever as .tutorial.bak, which is never overwritten', async () => {
    await put(store, 'tutorial')
    await put(store, 'native', { keepPrevious: '.tutorial.bak' })
    expect(backup('.tutorial.bak')).toBe('tutorial')
    const failure = await expectCode('EXISTS', () => put(store, 'other', { keepPrevious: '.tutorial.bak' }))
    expect(failure.message).toContain('it is there already')
    expect(backup('.tutorial.bak')).toBe('tutorial')
    expect(textOf(store)).toBe('native')
    expect(leftovers(directory)).toEqual([])
  })

  test('does not stay as .tutorial.bak when the replacement is refused, and a killed one can be repeated', async () => {
    await put(store, 'tutorial')
    const verify = (): void => writeFileSync(vault, 'theirs')
    await failureOf(() => put(store, 'native', { keepPrevious: '.tutorial.bak', verify }))
    expect(existsSync(`${vault}.tutorial.bak`)).toBe(false)
    linkSync(vault, `${vault}.tutorial.bak`)
    await put(store, 'native', { keepPrevious: '.tutorial.bak' })
    expect(backup('.tutorial.bak')).toBe('theirs')
  })
})

describe('appending', () => {
  test('writes at the position, cuts what lies behind, and touches nothing before', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 64 }),
        fc.nat(64),
        fc.uint8Array({ maxLength: 64 }),
        async (old, position, added) => {
          const at = Math.min(position, old.length)
          rmSync(vault, { force: true })
          await store.transaction('store', (tx) => {
            const expected = tx.replace('vault', Buffer.from(old), { expected: undefined, verify() {} })
            const revision = tx.append('vault', Buffer.from(added), { expected, at })
            expect(tx.read('vault')?.revision).toEqual(revision)
          })
          expect(readFileSync(vault)).toEqual(Buffer.concat([old.subarray(0, at), added]))
        },
      ),
      { numRuns: 50 },
    )
  })

  test('keeps the inode, so that a reader of before goes on seeing what it opened', async () => {
    await put(store, 'one')
    const inode = statSync(vault).ino
    await store.transaction('store', (tx) => {
      const reader = tx.open('vault')
      if (!reader) throw new Error('it is there')
      tx.append('vault', Buffer.from('-two'), { expected: reader.revision, at: 3 })
      expect(reader.read(0, 100).toString()).toBe('one')
      reader.close()
    })
    expect(statSync(vault).ino).toBe(inode)
    expect(textOf(store)).toBe('one-two')
  })

  test('refuses a position outside of the file', async () => {
    const expected = await put(store, 'one')
    for (const at of [-1, 4, 0.5]) {
      const append = store.transaction('store', (tx) => tx.append('vault', Buffer.from('x'), { expected, at }))
      await expectCode('INTERNAL', () => append)
    }
    expect(textOf(store)).toBe('one')
  })
})

describe('a transaction', () => {
  test('gives what its body gives, and throws what it throws, and gives the lock back both times', async () => {
    expect(await store.transaction('store', () => 42)).toBe(42)
    const failing = store.transaction('store', () => {
      throw new RangeError('mine')
    })
    await expect(failing).rejects.toThrow('mine')
    expect(leftovers(directory)).toEqual([])
  })

  test('is of no use after its body', async () => {
    let kept: Transaction | undefined
    await store.transaction('store', (tx) => {
      kept = tx
    })
    await expectCode('INTERNAL', () => kept?.read('vault'))
    await expectCode('INTERNAL', () => kept?.replace('vault', Buffer.from('x'), { expected: undefined, verify() {} }))
    expect(existsSync(vault)).toBe(false)
  })

  test('changes all three documents', async () => {
    await store.transaction('store', (tx) => {
      for (const name of ['vault', 'log', 'tokens'] as const) {
        tx.replace(name, Buffer.from(name), { expected: undefined, verify() {} })
      }
    })
    for (const name of ['vault', 'log', 'tokens'] as const) {
      expect(textOf(store, name)).toBe(name)
      expect(store.locate(name)).toBe(pathsIn(directory)[name])
    }
  })

  test('sweeps what killed writers left, and only that', async () => {
    const dead = ['.vault.enc.tmp-0123456789abcdef', '.vault.enc.lock.tmp-00000000000000ff']
    const others = ['.vault.enc.tmp-short', '.other.tmp-0123456789abcdef', 'vault.enc.tmp-0123456789abcdef']
    for (const name of [...dead, ...others]) writeFileSync(join(directory, name), 'x')
    await store.transaction('store', () => undefined)
    expect([...leftovers(directory)].sort()).toEqual([...others].sort())
  })

  test('sweeps beside the log and the token records only what is too old to be in use under another lock', async () => {
    const [old, young] = ['.log.json.tmp-0123456789abcdef', '.tokens.jsonl.tmp-0123456789abcdef']
    for (const name of [old, young]) writeFileSync(join(directory, name), 'x')
    utimesSync(join(directory, old), Date.now() / 1000 - 61, Date.now() / 1000 - 61)
    await store.transaction('store', () => undefined)
    expect(leftovers(directory)).toEqual([young])
  })

  test('by root gives the owner of the vault what it creates, who could not go on otherwise', async () => {
    if (HOST.uid !== 0) return announceMissing('only root can create files for another user')
    await put(store, 'one')
    chownSync(vault, 4711, 4712)
    const { log, tokens } = pathsIn(directory)
    const lock = await store.transaction('store', (tx) => {
      tx.replace('log', Buffer.from('x'), { expected: undefined, verify() {} })
      tx.replace('tokens', Buffer.from('x'), { expected: undefined, verify() {} })
      return statSync(`${vault}.lock`)
    })
    await put(store, 'two', { keepPrevious: '.bak' })
    for (const { uid, gid } of [lock, ...[log, tokens, vault, `${vault}.bak`].map((path) => statSync(path))]) {
      expect([uid, gid]).toEqual([4711, 4712])
    }
    expect([modeOf(log), modeOf(tokens)]).toEqual(['600', '600'])
    // The control: another user's number changes nothing.
    const other = openStore(directory, { host: { ...HOST, uid: 4713 } })
    rmSync(log)
    await other.transaction('store', (tx) => tx.replace('log', Buffer.from('x'), { expected: undefined, verify() {} }))
    expect(statSync(log).uid).toBe(0)
  })

  test('warns once a file of a vault that others can read, and leaves its mode', async () => {
    const warnings: string[] = []
    const warned = openStore(directory, { warn: (text) => warnings.push(text) })
    await warned.transaction('store', (tx) => {
      for (const name of ['vault', 'log'] as const)
        tx.replace(name, Buffer.from('x'), { expected: undefined, verify() {} })
    })
    chmodSync(vault, 0o644)
    chmodSync(pathsIn(directory).log, 0o644)
    warned.read('vault')
    warned.read('log')
    await put(warned, 'two')
    expect(warnings).toEqual([`other users can read the vault "${vault}": chmod 600 ${vault}`])
    expect(modeOf(vault)).toBe('644')
  })

  test('writes nothing on a platform whose locks it does not know', async () => {
    const foreign = openStore(directory, { host: { ...HOST, platform: 'win32' } })
    const failure = await expectCode('UNSAFE', () => put(foreign, 'one'))
    expect(failure.message).toContain('only Linux and macOS')
    expect(existsSync(vault)).toBe(false)
    expect(leftovers(directory)).toEqual([])
  })

  test('refuses to write a vault that is a directory', async () => {
    mkdirSync(vault)
    await expectCode('INPUT', () => put(store, 'one'))
    expect(await failureOf(() => put(store, 'one', { expected: undefined }))).toBeInstanceOf(Error)
    expect(leftovers(directory)).toEqual([])
  })
})
