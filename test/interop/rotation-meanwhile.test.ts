import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, copyFileSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { launcher } from '../support/built.js'
import { needStrace, traced } from '../support/strace.js'
import { linesOf } from '../rotation/staged-support.js'
import { Place, type Ran, type Tutorial, tutorials } from './programs.js'

/** A provider that waits for the file `go` before it answers, and writes down what it revokes. */
const PROVIDER = `#!/bin/sh
IFS= read -r request
case $request in
*'"step":"create"'*)
  : > asked
  while [ ! -e go ]; do sleep 0.01; done
  echo '{"value":"value of the provider","handle":"h-1"}' ;;
*) echo "$request" >> revoked; echo '{}' ;;
esac
`

/** Rotates with the built mcpvault, and does something while its provider is being asked. */
async function rotateDuring(place: Place, argv: readonly string[], meanwhile: () => void): Promise<Ran> {
  writeFileSync(place.path('provider'), PROVIDER)
  chmodSync(place.path('provider'), 0o755)
  const words = [launcher(), 'rotate', ...argv, '--provider', 'command:./provider']
  const child = spawn(process.execPath, words, {
    cwd: place.directory,
    env: place.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = Promise.all([once(child, 'exit'), text(child.stdout), text(child.stderr)])
  while (!existsSync(place.path('asked'))) {
    if (child.exitCode !== null) throw new Error(`mcpvault asked nobody: ${(await ended)[2]}`)
    await sleep(5)
  }
  meanwhile()
  writeFileSync(place.path('go'), '')
  const [[status], stdout, stderr] = await ended
  return { status, stdout, stderr }
}

const actionsOf = (place: Place, name: string): readonly string[] =>
  place
    .readLog()
    .filter((entry) => [entry.credential, entry.subject].includes(name))
    .map(({ action }) => action)

describe.for(tutorials())('the $language program writes while mcpvault waits for its provider', (tutorial) => {
  it('the rotation goes on from what stands there now, and says whose value it has replaced', async () => {
    const place = new Place(tutorial, { isEmpty: true })
    place.program('store', 'api_key', 'first')
    const { status, stderr } = await rotateDuring(place, ['api_key'], () => {
      place.program('rotate', 'api_key', 'of the program')
      place.program('store', 'other', 'stored meanwhile')
    })
    expect(status).toBe(0)
    expect(stderr).toContain('another program rotated "api_key" at the same time')
    expect(place.program('load', 'api_key')).toBe('value of the provider')
    expect(place.program('load', 'other')).toBe('stored meanwhile')
    expect(actionsOf(place, 'api_key').filter((action) => action === 'rotated')).toHaveLength(2)
    copyFileSync(place.path('mcp_credentials.enc.bak'), place.path('mcp_credentials.enc'))
    expect(place.program('load', 'api_key')).toBe('of the program')
  })
})

// Node is always here, and the same part of mcpvault decides.
describe('what a program has done while mcpvault waits for its provider', () => {
  const tutorial = tutorials().find(({ language }) => language === 'Node') as Tutorial

  it('a timer leaves the value of the program alone, and the key that nobody needs is revoked', async () => {
    const place = new Place(tutorial, { isEmpty: true })
    place.program('store', 'api_key', 'first')
    place.writeLog([{ credential: 'api_key', rotated_at: '2020-01-01T00:00:00', action: 'rotated' }])
    const { status } = await rotateDuring(place, ['--due'], () => {
      place.program('rotate', 'api_key', 'of the program')
    })
    expect(status).toBe(0)
    expect(place.program('load', 'api_key')).toBe('of the program')
    const [revoked = '', ...others] = linesOf(place.directory, 'revoked')
    expect(JSON.parse(revoked)).toMatchObject({ handle: 'h-1', revoked: 'value of the provider' })
    expect(others).toEqual([])
  })

  it('a credential that is gone by then keeps the new key from being forgotten: it is revoked', async () => {
    const place = new Place(tutorial, { isEmpty: true })
    place.program('store', 'other', 'of another')
    const before = place.readVault()
    place.program('store', 'api_key', 'first')
    const { status, stderr } = await rotateDuring(place, ['api_key'], () => {
      writeFileSync(place.path('mcp_credentials.enc'), before)
    })
    expect(status).toBe(3)
    expect(stderr).toContain('api_key')
    expect(linesOf(place.directory, 'revoked')).toHaveLength(1)
    expect(readFileSync(place.path('mcp_credentials.enc'), 'utf8')).toBe(before)
  })
})

it('what a program writes in the moment of the rename is not overwritten', async (context) => {
  needStrace(context)
  const [tutorial] = tutorials().slice(-1)
  if (tutorial === undefined) throw new Error('there is no Node')
  const place = new Place(tutorial, { isEmpty: true })
  place.program('store', 'api_key', 'first')
  const vault = place.path('mcp_credentials.enc')
  const words = [process.execPath, launcher(), 'rotate', 'api_key', '--generate']
  const trace = { calls: ['rename'], log: place.path('trace'), inject: 'rename:delay_enter=600000' }
  const [file = '', ...args] = traced(words, trace)
  const child = spawn(file, args, { cwd: place.directory, env: place.env, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = Promise.all([once(child, 'exit'), text(child.stdout), text(child.stderr)])
  // A second name is given just before the last look; the renames that follow take their time here.
  while (statSync(vault).nlink === 1) {
    if (child.exitCode !== null) throw new Error(`it did not come to the rename: ${(await ended)[2]}`)
    await sleep(2)
  }
  await sleep(100)
  place.program('store', 'other', 'stored meanwhile')
  const [[status], , stderr] = await ended
  expect(status, stderr).toBe(0)
  expect(place.mcpvault(['load', '-n', 'other'])).toBe('stored meanwhile')
  expect(place.mcpvault(['load', '-n', 'api_key'])).toMatch(/^[A-Za-z0-9]{48}$/)
  expect(place.program('load', 'other')).toBe('stored meanwhile')
})
