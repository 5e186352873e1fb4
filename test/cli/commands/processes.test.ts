import { execFileSync, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { systemContext } from '../../../src/cli/system.js'
import { tryLock } from '../../../src/storage/lock.js'
import { launcher } from '../../support/built.js'
import type { TestWorld } from '../../support/context.js'
import { need } from '../../support/need.js'
import { json, KEY, nativeWorld, store, VAULT } from './support.js'

let world: TestWorld

beforeEach(async () => {
  world = await nativeWorld({ nowMs: Date.now() })
  await store(world, 'name', 'value')
})

function environment(): Record<string, string> {
  return {
    PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
    HOME: world.directory,
    MCP_ENCRYPTION_KEY: KEY,
    NODE: process.execPath,
    MCPVAULT: launcher(),
  }
}

/** Runs the built mcpvault as a process; one that hangs is killed and has no status. */
function mcpvault(argv: readonly string[], input?: string | Buffer): SpawnSyncReturns<Buffer> {
  return spawnSync(process.execPath, [launcher(), ...argv], {
    cwd: world.directory,
    env: environment(),
    input: input ?? '',
    maxBuffer: 64 * 1024 * 1024,
    timeout: 20_000,
  })
}

/** Runs a shell script in which `mcpvault` is the built one. */
function shell(script: string): SpawnSyncReturns<string> {
  return spawnSync('bash', ['-c', `set -o pipefail; mcpvault() { "$MCPVAULT" "$@"; }; ${script}`], {
    cwd: world.directory,
    env: environment(),
    encoding: 'utf8',
    timeout: 20_000,
  })
}

describe('the built mcpvault', () => {
  it('carries 1 MiB of any bytes through pipes, exactly', () => {
    const bytes = Buffer.alloc(1024 * 1024, Buffer.from(Array.from({ length: 255 }, (_, index) => index + 1)))
    expect(mcpvault(['store', 'large', '--stdin', '--raw'], bytes).status).toBe(0)
    const { status, stdout } = mcpvault(['load', '-n', 'large'])
    expect(status).toBe(0)
    expect(stdout.equals(bytes)).toBe(true)
    expect(shell('mcpvault load large | tail -c 3 | od -An -tx1').stdout.trim()).toBe('0f 10 0a')
  })

  it('takes a closed stdin for an error, not for an empty value', () => {
    for (const redirection of ['<&-', '</dev/null']) {
      const { status, stderr } = shell(`mcpvault store closed --stdin ${redirection}`)
      expect([status, stderr]).toEqual([2, 'mcpvault: error: cannot read stdin: it is closed\n'])
    }
  })

  it('waits for a pipe that stays silent, and says so', async () => {
    const child = spawn(process.execPath, [launcher(), 'store', 'late', '--stdin'], {
      cwd: world.directory,
      env: environment(),
    })
    const exited = new Promise((resolve) => child.once('exit', resolve))
    let said = ''
    await new Promise<void>((resolve) => {
      child.stderr.on('data', (chunk: Buffer) => {
        said += chunk.toString()
        if (said.endsWith('\n')) resolve()
      })
    })
    expect(said).toBe('mcpvault: waiting for the value on stdin\n')
    child.stdin.end('late value\n')
    expect(await exited).toBe(0)
    expect(await json(world, 'load', 'late')).toEqual({ name: 'late', value: 'late value' })
  })

  it('leaves the list of a while-read loop alone', async () => {
    const names = ['a', 'b', 'c']
    for (const name of names) await store(world, name, 'old')
    const list = names.join('\\n')
    const { status, stderr } = shell(
      `printf '${list}\\n' | while read -r n; do mcpvault rotate "$n" --generate || exit; done`,
    )
    expect([status, stderr.match(/^rotated "[abc]" to version 2;/gm)]).toEqual([0, expect.any(Array)])
    expect(stderr.match(/^rotated/gm)).toHaveLength(3)
    const unasked = shell(`printf '${list}\\n' | while read -r n; do mcpvault rotate "$n"; echo "$n $?"; done`)
    expect(unasked.stdout).toBe('a 2\nb 2\nc 2\n')
  })

  it('ends quietly when the reader has seen enough', async () => {
    const [record] = JSON.parse(readFileSync(join(world.directory, 'rotation_log.json'), 'utf8'))
    writeFileSync(
      join(world.directory, 'rotation_log.json'),
      JSON.stringify(Array.from({ length: 5000 }, () => record)),
    )
    const { status, stdout, stderr } = shell('mcpvault log show | head -1')
    expect([status, stdout, stderr]).toEqual([0, '[\n', ''])
  })

  it('says that a disk is full when stdout is one: exit 9', (context) => {
    need(context, existsSync('/dev/full'), 'there is no /dev/full')
    for (const argv of [
      'load name',
      'list',
      'export',
      'log show',
      'help',
      '--version',
      'token create --tools x',
      'rotation-due --max-age 0',
    ]) {
      const { status, stderr } = shell(`mcpvault ${argv} >/dev/full`)
      expect([argv, status]).toEqual([argv, 9])
      expect(stderr).toContain('cannot write to stdout: the disk is full')
    }
    expect(shell('mcpvault nonsense 2>/dev/full').status).toBe(2)
  })

  it('reads key, token and arguments from what a shell pipes in, and no vault', () => {
    const check = 'mcpvault token check --tool web_search --args <(echo \'{"query":"mcp"}\')'
    const script = [
      'key=$MCP_ENCRYPTION_KEY; unset MCP_ENCRYPTION_KEY',
      'token=$(mcpvault token create --tools web_search --quiet --key-file <(echo "$key"))',
      `${check} --key-file <(echo "$key") --token-file <(echo "$token")`,
    ]
    const { status, stderr } = shell(script.join('; '))
    expect([status, stderr]).toEqual([0, expect.stringContaining('may call web_search')])
    expect(shell('mcpvault list --vault <(echo)').stderr).toContain('not a regular file')
  })

  it('refuses a directory and a FIFO instead of waiting', () => {
    mkdirSync(join(world.directory, 'directory'))
    execFileSync('mkfifo', [join(world.directory, 'fifo')])
    for (const flags of ['--vault directory', '--vault fifo', '--key-file fifo', '--env-file fifo']) {
      const { status, stderr } = shell(`mcpvault load name ${flags}`)
      expect([flags, status]).toEqual([flags, 2])
      expect(stderr).toContain('not a regular file')
    }
    expect(shell('mcpvault rotation-due --log fifo --vault fifo').status).toBe(2)
    expect(shell('MCPVAULT_LOG=fifo mcpvault log show').status).toBe(2)
    expect(shell('MCPVAULT_TOKEN= mcpvault token check --tool x --token-file fifo').status).toBe(2)
  })

  it('reads --env-file itself: Node keeps its hands off', () => {
    writeFileSync(
      join(world.directory, '.env'),
      `NODE_OPTIONS=--title=taken\nMCPVAULT_FILE=nowhere\nMCP_ENCRYPTION_KEY=${KEY}\n`,
      { mode: 0o600 },
    )
    const keyless = 'unset MCP_ENCRYPTION_KEY'
    expect(shell(`${keyless}; mcpvault load name --env-file .env`).stdout).toBe('value\n')
    expect(shell(`${keyless}; mcpvault --env-file=.env load name`).stdout).toBe('value\n')
    const { status, stderr } = shell('mcpvault load name --env-file missing.env')
    expect([status, stderr]).toEqual([
      5,
      expect.stringContaining('mcpvault: error: cannot read the key from the env file'),
    ])
  })

  it('takes a value from a process substitution and a key from an inherited descriptor', () => {
    expect(shell('mcpvault store piped --from-file <(printf "from a pipe\\n")').status).toBe(0)
    const { status, stdout } = shell(
      'KEY=$MCP_ENCRYPTION_KEY; unset MCP_ENCRYPTION_KEY; mcpvault load piped --key-fd 3 3<<<"$KEY"',
    )
    expect([status, stdout]).toEqual([0, 'from a pipe\n'])
  })

  it('waits no longer for a lock than it is told, and is exit 7 then', () => {
    const { host, randomBytes } = systemContext()
    const path = join(world.directory, `${VAULT}.lock`)
    const lock = tryLock(path, { command: 'upgrade', host, randomBytes, now: () => Date.now() })
    const held = mcpvault(['rotate', 'name', '--generate', '--lock-timeout', '1s'])
    expect(held.status).toBe(7)
    expect(held.stderr.toString()).toContain(`"upgrade" (process ${process.pid}) has held it since`)
    expect(mcpvault(['load', 'name']).stdout.toString()).toBe('value\n')
    lock?.release()
    expect(mcpvault(['rotate', 'name', '--generate']).status).toBe(0)
  })

  it('waits for a lock that is given back in time', async () => {
    const { host, randomBytes } = systemContext()
    const lock = tryLock(join(world.directory, `${VAULT}.lock`), {
      command: 'rotate',
      host,
      randomBytes,
      now: () => Date.now(),
    })
    const child = spawn(process.execPath, [launcher(), 'rotate', 'name', '--generate', '--lock-timeout', '20s'], {
      cwd: world.directory,
      env: environment(),
    })
    const exited = new Promise((resolve) => child.once('exit', resolve))
    setTimeout(() => lock?.release(), 300)
    expect(await exited).toBe(0)
  })

  it('gives a shell exit codes and values that it can use', () => {
    const { status, stdout, stderr } = shell(`
      TOKEN=$(mcpvault token create --tools web_search --ttl 5m) || exit 20
      MCPVAULT_TOKEN=$TOKEN mcpvault token check --tool web_search || exit 21
      if MCPVAULT_TOKEN=$TOKEN mcpvault token check --tool other; then exit 22; fi
      if mcpvault rotation-due name; then exit 23; fi
      if ! mcpvault rotation-due name --max-age 0 >/dev/null; then exit 24; fi
      test "$(mcpvault load name)" = value || exit 25
      eval "$(mcpvault export --format env)"; test "$NAME" = value || exit 26
      mcpvault list --json | "$NODE" -e 'JSON.parse(require("fs").readFileSync(0, "utf8"))' || exit 27
      mcpvault rotation-due --format names --max-age 0`)
    expect([status, stdout, stderr.includes('error')]).toEqual([0, 'name\n', false])
  })
})
