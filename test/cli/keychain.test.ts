/** The keychain, as far as it can be had here: gnome-keyring on a session bus of its own. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest'
import { announceMissing } from '../storage/storage-support.js'
import { type BuiltCopy, copyBuilt, launcher } from '../support/built.js'
import { temporaryDirectory } from '../support/directory.js'

const UNLOCK = `printf login | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1\n`

/** Runs a shell script in a home of its own; `mcpvault` is the built program. */
function run(home: string, script: string, options: { readonly hasKeyring: boolean; readonly program?: string }) {
  const file = join(home, 'script.sh')
  const define = `mcpvault() { "${process.execPath}" "${options.program ?? launcher()}" "$@"; }\n`
  writeFileSync(file, `set -eu\n${define}${options.hasKeyring ? UNLOCK : ''}${script}\n`)
  const words = options.hasKeyring ? ['dbus-run-session', '--', 'bash', file] : ['bash', file]
  const env = { PATH: process.env.PATH, HOME: home, XDG_RUNTIME_DIR: home }
  const { status, stdout, stderr } = spawnSync(words[0] as string, words.slice(1), {
    cwd: home,
    env,
    encoding: 'utf8',
    timeout: 60_000,
  })
  return { status, stdout, stderr: stderr.replace(/^dbus-daemon.*\n/gm, '') }
}

function needKeyring(context: TestContext): void {
  const probe = spawnSync('sh', ['-c', 'command -v dbus-run-session gnome-keyring-daemon'])
  if (probe.status === 0) return
  process.stderr.write(`\nSKIPPED: ${context.task.name} needs dbus-run-session and gnome-keyring-daemon\n`)
  announceMissing('there is no keychain to try here (Debian: apt-get install dbus gnome-keyring)')
  context.skip()
}

describe('the keychain', () => {
  it('keeps the key of a new vault, and one that is added; each opens the vault without being named', (context) => {
    needKeyring(context)
    const home = temporaryDirectory()
    const script = `
      mcpvault init --keychain
      printf one | mcpvault store a --stdin
      mcpvault load a
      mcpvault key rotate
      mcpvault key list --json
      mkdir -m 700 other; cd other
      mcpvault init --vault ./mcp_credentials.enc --key-file ./key
      printf two | mcpvault store b --stdin --key-file ./key
      mcpvault key add --keychain --label here --key-file ./key
      mcpvault load b`
    const { status, stdout, stderr } = run(home, script, { hasKeyring: true })
    expect(stderr).toContain('its key is in the keychain (mcpvault, ')
    expect(status, stderr).toBe(0)
    expect(stdout).toMatch(/^one\n\{.*"keychain":true.*\}\ntwo\n$/s)
    expect(stdout + stderr).not.toMatch(/[A-Za-z0-9_-]{43}=/)
  })

  it('that does not answer is an error that says so, unless the key lies elsewhere', (context) => {
    needKeyring(context)
    const home = temporaryDirectory()
    run(
      home,
      'mcpvault init --keychain\nprintf one | mcpvault store a --stdin\nmcpvault key add --new-key-file spare',
      {
        hasKeyring: true,
      },
    )
    const alone = run(home, 'mcpvault load a', { hasKeyring: false })
    expect(alone).toMatchObject({ status: 5, stdout: '' })
    expect(alone.stderr).toContain('cannot use the keychain: this session has none that answers')
    expect(run(home, 'mcpvault load a --key-file spare', { hasKeyring: false })).toMatchObject({ stdout: 'one\n' })
    mkdirSync(join(home, '.config/mcpvault'), { recursive: true, mode: 0o700 })
    expect(run(home, 'mv spare .config/mcpvault/key\nmcpvault load a', { hasKeyring: false }).stdout).toBe('one\n')
    expect(run(home, 'mcpvault list', { hasKeyring: false }).stdout).toMatch(/^a\t/)
  })
})

describe('without the optional package', () => {
  let program: BuiltCopy
  beforeAll(() => {
    program = copyBuilt()
  })
  afterAll(() => program.remove())

  it('the keychain is refused by name, and no vault is made', () => {
    const home = temporaryDirectory()
    const script = 'mcpvault init --keychain --vault ./mcp_credentials.enc'
    const refused = run(home, script, { hasKeyring: false, program: program.launcher })
    expect(refused.status).toBe(5)
    expect(refused.stderr).toContain('the optional package @napi-rs/keyring is not installed')
    expect(run(home, 'ls', { hasKeyring: false }).stdout).toBe('script.sh\n')
    // Everything else works without it.
    const plain = 'mcpvault init --vault ./mcp_credentials.enc\nmcpvault list'
    expect(run(home, plain, { hasKeyring: false, program: program.launcher }).status).toBe(0)
  })
})
