import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { rawKeyId } from '../../../src/vault/key.js'
import { TestWorld } from '../../support/context.js'
import {
  emptyTutorialWorld,
  fail,
  HEX_KEY,
  json,
  KEY,
  nativeWorld,
  OTHER_KEY,
  read,
  rotate,
  store,
  succeed,
  VAULT,
  write,
  PASSPHRASE,
  putPassphraseVault,
} from './support.js'

const ID = rawKeyId(Buffer.from(HEX_KEY, 'hex'))

describe('key check', () => {
  it('says which key was found where and what it opens, never the key', async () => {
    const world = await nativeWorld()
    await store(world, 'a', '1')
    await rotate(world, 'a', '2')
    expect(await succeed(world, 'key', 'check')).toBe(
      `MCP_ENCRYPTION_KEY (id ${ID}) opens "${join(world.directory, VAULT)}" and 2 values in it\n`,
    )
    expect(await json(world, 'key', 'check')).toEqual({
      vault: join(world.directory, VAULT),
      format: 'native',
      source: 'MCP_ENCRYPTION_KEY',
      key_type: 'raw',
      key_id: ID,
      checked: true,
      values: 2,
      damaged: [],
    })
    write(world, 'copy.key', `${HEX_KEY}\n`)
    expect(await succeed(world, 'key', 'check', '--key-file', 'copy.key')).toContain(
      `the key file "copy.key" (id ${ID})`,
    )
  })

  it('is answered with 5 for a key that does not fit, is malformed or is not there', async () => {
    for (const makeWorld of [nativeWorld, emptyTutorialWorld]) {
      const world = await makeWorld()
      await store(world, 'a', '1')
      write(world, 'wrong.key', OTHER_KEY)
      write(world, 'short.key', KEY.slice(1))
      const wrong = await fail(world, 'key', 'check', '--key-file', 'wrong.key')
      expect(wrong).toMatchObject({ status: 5, code: 'WRONG_KEY' })
      expect(wrong.hints.join(' ')).toContain('the key file "wrong.key" has the id ')
      expect(JSON.stringify(wrong)).not.toContain(OTHER_KEY.slice(0, 10))
      expect(await fail(world, 'key', 'check', '--key-file', 'short.key')).toMatchObject({ status: 5, code: 'NO_KEY' })
      delete world.env.MCP_ENCRYPTION_KEY
      expect(await fail(world, 'key', 'check')).toMatchObject({ status: 5, code: 'NO_KEY' })
    }
  })

  it('is answered with 6 for a vault that is damaged, and with 3 for none', async () => {
    const world = await nativeWorld()
    await store(world, 'a', '1')
    const text = read(world, VAULT)
    write(world, VAULT, text.replace('"ver":1', '"ver":2'))
    expect(await fail(world, 'key', 'check')).toMatchObject({ status: 6, code: 'DAMAGED' })
    write(world, VAULT, text.slice(0, -9))
    expect(await fail(world, 'key', 'check')).toMatchObject({ status: 6, code: 'DAMAGED' })
    expect(await fail(world, 'key', 'check', '--vault', 'nothing')).toMatchObject({ status: 3 })
  })

  it('fits a tutorial vault when one value opens, and names those that are damaged', async () => {
    const world = await emptyTutorialWorld()
    await store(world, 'a', '1')
    const value = (JSON.parse(read(world, VAULT)) as { a: string }).a
    const broken = `${value.slice(0, 40)}${value[40] === 'A' ? 'B' : 'A'}${value.slice(41)}`
    write(world, VAULT, JSON.stringify({ broken, odd: 'plain', a: value }))
    expect(await json(world, 'key', 'check')).toMatchObject({ checked: true, values: 1, damaged: ['broken', 'odd'] })
    await succeed(world, 'key', 'check')
    expect(world.stderr).toBe('mcpvault: warning: damaged: "broken", "odd"\n')
    write(world, VAULT, '{"odd":"plain"}')
    expect(await fail(world, 'key', 'check')).toMatchObject({ status: 6, code: 'DAMAGED' })
  })

  it('says that an empty tutorial vault cannot tell', async () => {
    const world = await emptyTutorialWorld()
    expect(await succeed(world, 'key', 'check')).toMatch(/^nothing to check MCP_ENCRYPTION_KEY \(id \w+\) against: /)
    expect(await json(world, 'key', 'check')).toMatchObject({ checked: false, values: 0 })
  })

  it('checks a passphrase, asked for', async () => {
    const world = new TestWorld()
    world.setTerminal(true)
    putPassphraseVault(world)
    world.answers.push(PASSPHRASE)
    expect(await succeed(world, 'key', 'check')).toMatch(
      /^the passphrase \(id [0-9a-f]{16}\) opens .*, which is empty\n$/,
    )
    world.answers.push('battery staple')
    expect(await world.run('key', 'check')).toBe(5)
  })
})
