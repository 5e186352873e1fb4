import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { formatLastingService, type LastingCommand } from '../../src/cli/service-unit.js'
import { temporaryDirectory } from '../support/directory.js'
import { needProgram } from '../support/need.js'

/** Exposure in tenths, as `--threshold` counts it. */
const MOST_EXPOSED = 20

const COMMAND: LastingCommand = {
  unit: 'mcpvault-serve',
  summary: 'stands in front of MCP servers',
  argv: [
    '/bin/sh',
    '/opt/a b%c/mcpvault.js',
    'serve',
    '--key-file',
    '/home/$a/key',
    '--config',
    '/srv/a "b" 5%.json',
    '--listen',
    '[::1]:9000',
  ],
  environment: { XDG_STATE_HOME: '/var/lib/a b' },
  user: 'daemon',
  writes: ['/home/a b', '/var/lib/a b/mcpvault'],
}

function analyze(words: readonly string[], text = formatLastingService(COMMAND)) {
  const path = join(temporaryDirectory(), 'mcpvault-serve.service')
  writeFileSync(path, text)
  const { status, stdout, stderr } = spawnSync('systemd-analyze', [...words, path], { encoding: 'utf8' })
  return { status, stdout, complaints: stderr.split('\n').filter((line) => line.includes('mcpvault')) }
}

describe('the unit of the gateway', () => {
  it('leaves a service exposed by at most 2.0 of 10, as systemd counts', (context) => {
    needProgram(context, 'systemd-analyze', 'systemd')
    const words = ['security', '--offline=true', `--threshold=${MOST_EXPOSED}`]
    const { status, stdout } = analyze(words)
    expect(status, stdout).toBe(0)
    const bare = formatLastingService(COMMAND).replace(/^(?:Protect|Restrict|System).*\n/gm, '')
    expect(analyze(words, bare).status, 'a unit without limits').not.toBe(0)
  })

  it('is taken by systemd-analyze verify, odd paths and all', (context) => {
    needProgram(context, 'systemd-analyze', 'systemd')
    expect(analyze(['verify', '--man=no'])).toMatchObject({ status: 0, complaints: [] })
    const odd = formatLastingService(COMMAND).replace('ProtectHome=', 'ProtectHomes=')
    expect(analyze(['verify', '--man=no'], odd).complaints.join()).toContain('ProtectHomes')
  })

  it('may write to the folders that it is told, and to no other', () => {
    const lines = formatLastingService(COMMAND).split('\n')
    expect(lines).toContain('ReadWritePaths="/home/a b" "/var/lib/a b/mcpvault"')
    expect(lines).toContain('ProtectSystem=strict')
    expect(lines).toContain(
      'ExecStart=/bin/sh "/opt/a b%%c/mcpvault.js" serve --key-file "/home/$$a/key" --config "/srv/a \\"b\\" 5%%.json" --listen "[::1]:9000"',
    )
  })
})
