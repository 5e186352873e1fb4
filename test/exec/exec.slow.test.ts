import { expect, describe, it } from 'vitest'
import { execFileSync } from 'node:child_process'
import { launcher } from '../support/built.js'
import { Home } from './exec-support.js'

const NODE = process.execPath

describe('a program that exec runs', () => {
  it('is started with an environment and arguments that are large, but not too large', async () => {
    const home = await Home.make()
    const large = home.run(['exec', '-e', 'A=key', '--', 'true', 'x'.repeat(1000)], { BIG: 'x'.repeat(131_000) })
    expect(large.status).toBe(0)
  })

  it('ends where nobody reads it any more, without a mask, too', async () => {
    const home = await Home.make()
    const command = `'${NODE}' '${launcher()}' exec -e A=key -- yes`
    const shown = execFileSync('sh', ['-c', `${command} | head -1`], { env: home.env, cwd: home.path })
    expect(shown.toString()).toBe('y\n')
  })

  it('does not keep signals from the program while nobody reads', async () => {
    const home = await Home.make()
    const script = `process.on('SIGTERM', () => process.exit(5)); process.stderr.write('up;')
      setInterval(() => process.stdout.write('x'.repeat(1e6)), 1)`
    const running = home.start(['exec', '--mask', '-e', 'A=key', '--', NODE, '-e', script])
    running.process.stdout.pause()
    await new Promise<void>((resolve) => {
      running.process.stderr.on('data', () => resolve())
    })
    running.process.kill('SIGTERM')
    running.process.stdout.resume()
    expect((await running.end()).status).toBe(5)
  })
})
