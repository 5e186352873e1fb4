import { describe, expect, it } from 'vitest'
import { TestWorld } from '../../support/context.js'
import { fail, json, PASSPHRASE, putPassphraseVault, succeed } from './support.js'

describe('a default key file that belongs to another vault', () => {
  it('is passed over: what needs no key goes on unverified', async () => {
    const world = new TestWorld()
    await succeed(world, 'init')
    await succeed(world, 'init', '--vault', 'project.enc', '--key-file', 'project.key')
    await succeed(world, 'store', 'name', '--generate', '--vault', 'project.enc', '--key-file', 'project.key')
    expect(await json(world, 'list', '--vault', 'project.enc')).toMatchObject([{ name: 'name', verified: false }])
    expect(await fail(world, 'load', 'name', '--vault', 'project.enc')).toMatchObject({ status: 5, code: 'WRONG_KEY' })
  })

  it('does not keep a passphrase from being asked', async () => {
    const world = new TestWorld()
    await succeed(world, 'init')
    world.setTerminal(true)
    putPassphraseVault(world, 'secret.enc')
    world.answers.push(PASSPHRASE)
    await succeed(world, 'store', 'name', '--generate', '--vault', 'secret.enc')
    world.setTerminal(false)
    const failure = await fail(world, 'load', 'name', '--vault', 'secret.enc')
    expect(failure).toMatchObject({ status: 5, code: 'NO_KEY' })
  })
})

describe('a flag', () => {
  it('that is given twice is refused, since taking one of the two would be a guess', async () => {
    const world = new TestWorld()
    const twice = ['token', 'create', '--tools', 'a', '--tools', 'b']
    expect(await fail(world, ...twice)).toMatchObject({ status: 2, code: 'USAGE' })
  })

  it('that names a file and is empty is refused by name', async () => {
    const world = new TestWorld()
    const failure = await fail(world, 'list', '--vault', '')
    expect(failure).toMatchObject({ status: 2, code: 'USAGE' })
    expect(failure.message).toContain('--vault')
  })
})

describe('a token typed as a name', () => {
  it('is refused wherever it stands in the word, and not repeated', async () => {
    const world = new TestWorld()
    await succeed(world, 'init')
    const token = 'mcpv_AgEIbWNwdmF1bHQ'
    for (const word of [token, `Bearer ${token}`, `x${token}`]) {
      const failure = await fail(world, 'token', 'revoke', word)
      expect(failure).toMatchObject({ status: 2, code: 'USAGE' })
      expect(JSON.stringify(failure)).not.toContain('AgEIbWNwdmF1bHQ')
    }
  })
})
