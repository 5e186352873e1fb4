import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { CANARY, expectNoSecretSeen, watching } from './canary.js'

vi.setConfig({ testTimeout: 180_000 })

let program: BuiltCopy

beforeAll(() => {
  program = copyBuilt()
})
afterAll(() => program.remove())

test('no secret of a native vault is seen in a stream, a file, a process or its children', async () => {
  await expectNoSecretSeen(program, 'native', 'init')
})

test('(control) a secret in a stream, a file, a command line, an environment or a child is found', async () => {
  const script = `
    const { spawnSync } = require('node:child_process')
    const { writeFileSync } = require('node:fs')
    console.log(Buffer.from('xx' + process.env.PLANTED).toString('base64'))
    console.error(encodeURIComponent(process.env.PLANTED))
    writeFileSync(process.env.HOME + '/planted', JSON.stringify(process.env.PLANTED))
    spawnSync('sleep', ['0.2'], { env: { ...process.env, IN_CHILD: process.env.PLANTED } })`
  const hits = await watching(program, async (watch) => {
    watch.secrets.set('value', CANARY)
    await watch.runCommand([process.execPath, '-e', script, CANARY], 'planted', { env: { PLANTED: CANARY } })
  })
  for (const where of ['stdout of', 'stderr of', 'planted after', 'cmdline of', 'environ of'])
    expect(hits.join('\n')).toContain(where)
})
