import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { exportVault } from '../../src/vault/export.js'
import { expectCode, passphraseKey, rawKey, VaultWorld } from './vault-support.js'

const ODD = `it's "quoted" $HOME \`id\` \\ back\nsecond line\ttab ✓`

describe('an export', () => {
  it('as JSON holds the current values, whatever their names', async () => {
    const world = await VaultWorld.create()
    await world.put('__proto__', 'a')
    await world.put('z', 'old')
    await world.rotate('z', ODD)
    const text = exportVault(world.open(), 'json', world.access())
    expect(JSON.parse(text)).toEqual(JSON.parse(`{"__proto__":"a","z":${JSON.stringify(ODD)}}`))
    expect(text.endsWith('}\n')).toBe(true)
  })

  it('as env is read back by a shell, byte for byte', async () => {
    const world = await VaultWorld.create()
    await world.put('odd.name/x', ODD)
    await world.put('empty', '')
    const text = exportVault(world.open(), 'env', world.access())
    const script = `${text}\nprintf %s "$ODD_NAME_X"; printf '|%s|' "$EMPTY"`
    expect(execFileSync('sh', ['-c', script]).toString()).toBe(`${ODD}||`)
  })

  it('as env refuses names that meet and values that no variable can hold', async () => {
    const world = await VaultWorld.create()
    await world.put('a.b', 'x')
    await world.put('a/b', 'y')
    const meeting = await expectCode('INPUT', () => exportVault(world.open(), 'env', world.access()))
    expect(meeting.message).toContain('would be A_B, which is also that of "a.b"')
    await world.remove('a/b')
    await world.put('7', 'y')
    const digit = await expectCode('INPUT', () => exportVault(world.open(), 'env', world.access()))
    expect(digit.message).toContain('starts with a digit')
    await world.remove('7')
    await world.put('nul', 'secret\0part')
    const nul = await expectCode('INPUT', () => exportVault(world.open(), 'env', world.access()))
    expect(nul.message).not.toMatch(/secret|part/)
  })

  it('gives a value that is no text in base64 as JSON; other formats refuse it and say which', async () => {
    const world = await VaultWorld.create()
    await world.put('binary', Buffer.from('ff', 'hex'))
    expect(JSON.parse(exportVault(world.open(), 'json', world.access()))).toEqual({ binary: { value_base64: '/w==' } })
    for (const format of ['env', 'fernet', 'aes-256-gcm'] as const) {
      const failure = await expectCode('INPUT', () => exportVault(world.open(), format, world.access()))
      expect(failure.message).toContain('"binary" is not UTF-8 text')
    }
  })

  it('to a tutorial format needs a raw key, which programs can hold', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'x')
    const access = world.access({ key: passphraseKey('x') })
    for (const format of ['fernet', 'aes-256-gcm'] as const) {
      await expectCode('WRONG_KEY', () => exportVault(world.open(), format, access))
    }
    expect(JSON.parse(exportVault(world.open(), 'json', access))).toEqual({ a: 'x' })
  })

  it('to a tutorial format opens with the same key', async () => {
    const world = await VaultWorld.create({ key: rawKey() })
    await world.put('a', ODD)
    for (const format of ['fernet', 'aes-256-gcm'] as const) {
      const tutorial = new VaultWorld({ key: world.key })
      tutorial.write(exportVault(world.open(), format, world.access()))
      expect(tutorial.text('a')).toBe(ODD)
    }
  })
})
