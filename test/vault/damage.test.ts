import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { VaultError } from '../../src/errors.js'
import type { RawKey } from '../../src/vault/key.js'
import { parseVault } from '../../src/vault/open.js'
import { macUnder, openDataKey, readNativeVault } from './independent-reader.js'
import { expectCode, passphraseKey, VaultWorld } from './vault-support.js'

describe('a native vault that was cut or changed', () => {
  it('is refused at every length but its own', async () => {
    const { world, bytes } = await smallVault()
    for (let length = 0; length < bytes.length; length++) {
      expect(failureCode(world, bytes.subarray(0, length)), `cut to ${length}`).toBe('DAMAGED')
    }
    expect(failureCode(world, bytes)).toBe('it opened')
  })

  it('is refused with any bit of any byte flipped', async () => {
    const { world, bytes } = await smallVault()
    const kidAt = bytes.indexOf('"kid":"') + 7
    const wrong: number[] = []
    for (let at = 0; at < bytes.length; at++) {
      // Two bits a byte, so that every bit of a character is met many times over.
      for (const bit of [at % 8, (at * 5 + 3) % 8]) {
        const flipped = Buffer.from(bytes)
        flipped[at] = (bytes[at] ?? 0) ^ (1 << bit)
        const code = failureCode(world, flipped)
        if (code === 'WRONG_KEY') wrong.push(at)
        else expect(code, `bit ${bit} of byte ${at}`).toBe('DAMAGED')
      }
    }
    // Only another key id makes it a vault for another key.
    expect(wrong.length).toBeGreaterThan(0)
    for (const at of wrong) expect(at >= kidAt && at < kidAt + 16).toBe(true)
  })

  it('is refused with bytes put in, doubled or behind it', async () => {
    const { world, bytes } = await smallVault()
    const text = bytes.toString('latin1')
    const lines = text.split('\n')
    const variants = {
      'a line feed at the end': `${text}\n`,
      'a second vault behind it': text + text,
      'a NUL behind it': `${text}\0`,
      'no line feed at the end': text.slice(0, -1),
      'a byte order mark': `\u00ef\u00bb\u00bf${text}`,
      'a space in front': ` ${text}`,
      'CR LF': text.replaceAll('\n', '\r\n'),
      'a doubled entry': [...lines.slice(0, 3), lines[2], ...lines.slice(3)].join('\n'),
      'an entry taken out': lines.filter((_, index) => index !== 2).join('\n'),
      'entries in another order': [lines[0], lines[1], lines[3], lines[2], ...lines.slice(4)].join('\n'),
      'a newer format': text.replace('mcpvault/1', 'mcpvault/2'),
      'white space in the header': text.replace('{"vault_id":', '{ "vault_id":'),
    }
    for (const [what, variant] of Object.entries(variants)) {
      expect(failureCode(world, Buffer.from(variant, 'latin1')), what).toBe('DAMAGED')
    }
  })

  it('is never taken for an empty one, and never written', async () => {
    const { world, bytes } = await smallVault()
    for (const length of [0, 1, 14, 15, 200, bytes.length - 48, bytes.length - 1]) {
      const cut = bytes.subarray(0, length)
      world.write(cut)
      await expectCode('DAMAGED', () => world.open())
      await expectCode('DAMAGED', () => world.open({ key: undefined }).names())
      await expectCode('DAMAGED', () => world.put('new', 'x'))
      await expectCode('DAMAGED', () => world.remove('a'))
      expect(world.read().equals(cut)).toBe(true)
    }
    world.write(bytes)
    expect(world.text('a')).toBe('value a')
  })

  it('is refused where its header or an element is nested too deeply to be printed again', async () => {
    const world = await VaultWorld.create()
    await world.put('a', 'x')
    const deep = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`
    const text = world.read().toString('utf8')
    const header = text.replace('"journal":[]', `"journal":[${deep(30_000)}]`)
    const relaid = `["mcpvault/1",`.replace('[', '[\n  ').concat(`\n  ${deep(100_000)}\n]`)
    for (const damaged of [header, relaid]) {
      expect(damaged).not.toBe(text)
      world.write(damaged)
      for (const use of [() => world.open(), () => world.open({ key: undefined }), () => world.put('b', 'x')]) {
        await expectCode('DAMAGED', use)
      }
    }
  })

  it('under a passphrase is refused as well', async () => {
    // Its slot costs a quarter of what mcpvault gives a new one.
    const world = new VaultWorld({ key: passphraseKey('correct horse') })
    world.write(readFileSync('test/fixtures/native/quick-passphrase.enc'))
    await world.put('a', 'value a')
    const bytes = world.read()
    for (const at of [bytes.length - 20, bytes.indexOf('"a"') + 1, bytes.indexOf('"gen":') + 6]) {
      const flipped = Buffer.from(bytes)
      flipped[at] = (bytes[at] ?? 0) ^ 1
      expect(failureCode(world, flipped), String(at)).toBe('DAMAGED')
    }
    // The slot is bound to its id and its parameters, and a slot that does not open is a wrong passphrase at best.
    const salted = Buffer.from(bytes)
    const at = bytes.indexOf('"salt":"') + 10
    salted[at] = bytes[at] === 0x41 ? 0x42 : 0x41
    expect(failureCode(world, salted)).toBe('WRONG_KEY')
  })
})

describe('a sealed value', () => {
  it('cannot be moved to another name by somebody who can make the MAC fit', async () => {
    const { world } = await smallVault()
    const [a, b] = [entry(world, 'a'), entry(world, 'b')]
    forge(world, (line) => (line === a ? `["a"${b.slice(4)}` : line === b ? `["b"${a.slice(4)}` : line))
    await expectMoved(world, 'a')
    await expectMoved(world, 'b')
  })

  it('nor to another version', async () => {
    const { world } = await smallVault()
    forge(world, (line) => line.replace('{"ver":2,"stage":"current"', '{"ver":3,"stage":"current"'))
    await expectMoved(world, 'a')
    expect(world.text('a', 'previous')).toBe('old a')
  })

  it('nor exchanged with the version before', async () => {
    const { world } = await smallVault()
    const [n2, c2, n1, c1] = [...entry(world, 'a').matchAll(/"[nc]":"([^"]+)"/g)].map((match) => match[1] ?? '')
    forge(world, (line) =>
      line.startsWith('["a"')
        ? line
            .replace(`"n":"${n2}","c":"${c2}"`, '#')
            .replace(`"n":"${n1}","c":"${c1}"`, `"n":"${n2}","c":"${c2}"`)
            .replace('#', `"n":"${n1}","c":"${c1}"`)
        : line,
    )
    await expectMoved(world, 'a')
  })

  it('nor to another vault under the same key', async () => {
    const { world } = await smallVault()
    const other = await VaultWorld.create({ key: world.key })
    await other.put('a', 'from elsewhere')
    const stranger = entry(other, 'a')
    forge(world, (line) => (line.startsWith('["a"') ? stranger : line))
    await expectMoved(world, 'a')
  })

  it('and the forger of these tests can make a MAC that fits', async () => {
    const { world } = await smallVault()
    const before = world.read()
    forge(world, (line) => line)
    expect(world.read().equals(before)).toBe(true)
    forge(world, (line) => line.replace('"stage":"previous"', '"stage":"retired"'))
    expect(() => readNativeVault(world.read(), { raw: keyOf(world) })).not.toThrow()
    // A fitting MAC over a form that is not ours: still refused.
    await expectCode('DAMAGED', () => world.text('a'))
  })
})

describe('an entry under a fitting MAC', () => {
  const variants: Readonly<Record<string, (line: string) => string>> = {
    'with a time that is no date': (line) => line.replace('2026-11-22T', '2026-02-30T'),
    'with a time in another zone': (line) => line.replace('.000Z', '.000+00:00'),
    'with a time without milliseconds': (line) => line.replace('.000Z', 'Z'),
    'with two current versions': (line) => line.replace('"previous"', '"current"'),
    'with no current version': (line) => line.replace('"current"', '"previous"'),
    'with no version at all': (line) => line.replace(/"versions":\[.*\]\}/, '"versions":[]}'),
    'with a nonce of another length': (line) => line.replace(/"n":"..../, '"n":"'),
    'with an unknown member': (line) => line.replace('{"versions"', '{"extra":1,"versions"'),
    'with a member twice': (line) => line.replace('{"versions"', '{"note":"a","note":"b","versions"'),
    'with an escape that was not needed': (line) => line.replace('["a"', '["\\u0061"'),
    'with half of a surrogate pair as its name': (line) => line.replace('["a"', '["\\ud800"'),
    'with white space': (line) => line.replace('{"versions"', '{ "versions"'),
  }

  it.each(Object.keys(variants))('%s is refused', async (what) => {
    const { world } = await smallVault()
    const line = entry(world, 'a')
    const changed = variants[what]?.(line) ?? line
    expect(changed).not.toBe(line)
    forge(world, (each) => (each === line ? changed : each))
    await expectCode('DAMAGED', () => {
      const vault = world.open()
      for (const name of vault.names()) vault.describe(name)
    })
  })

  it('out of order or twice is refused', async () => {
    const { world } = await smallVault()
    const [a, b] = [entry(world, 'a'), entry(world, 'b')]
    for (const [first, second] of [
      [b, a],
      [a, a],
    ]) {
      forge(world, (line) => (line === a ? (first ?? '') : line === b ? (second ?? '') : line))
      await expectCode('DAMAGED', () => world.open().names())
      await expectCode('DAMAGED', () => world.put('c', 'x'))
      forge(world, (line, index) => (index === 0 ? a : index === 1 ? b : line))
    }
    expect(world.open().names()).toEqual(['a', 'b'])
  })
})

async function smallVault(): Promise<{ readonly world: VaultWorld; readonly bytes: Buffer }> {
  const world = await VaultWorld.create()
  await world.put('a', 'old a')
  await world.put('b', 'value b')
  await world.rotate('a', 'value a')
  return { world, bytes: world.read() }
}

/** What a failure is called; everything that can be read must be, or it counts as opened. */
function failureCode(world: VaultWorld, bytes: Buffer): string {
  try {
    const vault = parseVault(bytes, world.key)
    for (const name of vault.names()) vault.load(name, { nowMs: world.nowMs })
    return 'it opened'
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    expect(error.message).not.toMatch(/value|old/)
    return error.code
  }
}

async function expectMoved(world: VaultWorld, name: string): Promise<void> {
  const failure = await expectCode('DAMAGED', () => world.text(name))
  expect(failure.message).toMatch(/^the vault is damaged: version \d of ".*" does not open$/)
  await expectCode('DAMAGED', () => world.rotate(name, 'x'))
}

function keyOf(world: VaultWorld): Buffer {
  return (world.key as RawKey).bytes.reveal()
}

function entry(world: VaultWorld, name: string): string {
  return world.lines().find((line) => line.startsWith(`["${name}",`)) ?? ''
}

/** Rewrites entry lines and seals them, as only a holder of the key could; no mark of this machine is in the way. */
function forge(world: VaultWorld, change: (line: string, index: number) => string): void {
  const { dek, id } = openDataKey(world.read(), keyOf(world))
  const lines = world.lines()
  const body = [...lines.slice(0, 2), ...lines.slice(2, -2).map(change), '"'].join('\n')
  world.write(`${body}${macUnder(dek, id, Buffer.from(body))}"]\n`)
  world.stateDirectory += '+'
}
