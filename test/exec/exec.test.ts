import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { spawn } from '@lydell/node-pty'
import { describe, expect, it, onTestFinished } from 'vitest'
import { json, KEY, store } from '../cli/commands/support.js'
import { launcher } from '../support/built.js'
import { findForms } from '../support/forms.js'
import { Home, VALUE } from './exec-support.js'

const NODE = process.execPath

/** Waits for the process that tells mcpvault what is typed, other than the one that what was typed last has ended. */
async function witnessOf(parent: number, ended: string): Promise<string> {
  for (;;) {
    const processes = execFileSync('ps', ['-A', '-o', 'ppid=,pid=,comm='], { encoding: 'utf8' }).split('\n')
    const found = processes
      .map((line) => line.trim().split(/\s+/))
      .find(([ppid, pid, name]) => {
        return ppid === String(parent) && pid !== ended && name === 'cat'
      })
    if (found?.[1] !== undefined) return found[1]
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Prints the signals that it gets, and ends with the status 9 at the last. */
const LISTENER = `
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGWINCH', 'SIGCONT'])
    process.on(name, () => { console.log('got ' + name + ';'); if (name === 'SIGQUIT') process.exit(9) })
  setInterval(() => {}, 1000)
  console.log('ready ' + process.pid + ';')`

describe('exec', () => {
  it('runs a program with credentials and without what is mcpvault’s own, and returns its status', async () => {
    const home = await Home.make()
    const script = 'process.stdout.write(JSON.stringify([process.env, process.argv.slice(1)])); process.exitCode = 7'
    const words = ['--', 'a b', '-e', 'X=key', '--json', '$HOME', '*', '']
    const env = {
      MCPVAULT_TOKEN: 't',
      MCPVAULT_FILE: join(home.path, 'mcp_credentials.enc'),
      MCP_SERVER: 'stays',
      OLD: '1',
    }
    const argv = ['exec', '-e', 'A=key', '--env', 'B=other', '-e', 'OLD=other', '--', NODE, '-e', script, ...words]
    const { status, stdout, stderr } = home.run(argv, env)
    expect(stderr).toBe('')
    expect(status).toBe(7)
    const [seen, args] = JSON.parse(stdout) as [Record<string, string>, string[]]
    expect(args).toEqual(words.slice(1))
    expect(seen).toMatchObject({
      A: VALUE,
      B: 'another-secret-value',
      OLD: 'another-secret-value',
      MCP_SERVER: 'stays',
    })
    const own = Object.keys(seen).filter((name) => /^(MCPVAULT_|MCP_ENCRYPTION_KEY)/.test(name))
    expect(own).toEqual([])
    expect(Object.values(seen)).not.toContain(KEY)
  })

  it('fills references in arguments when it is told to, and only then', async () => {
    const home = await Home.make()
    const words = ['--', '{{ vault "key" }}', 'a={{ vault "other" }}{{ vault "key" }}', '{{ "{{" }}']
    const argv = ['--', NODE, '-p', 'JSON.stringify(process.argv.slice(1))', ...words]
    expect(JSON.parse(home.run(['exec', '--fill-args', ...argv]).stdout)).toEqual([
      VALUE,
      `a=another-secret-value${VALUE}`,
      '{{',
    ])
    expect(JSON.parse(home.run(['exec', ...argv]).stdout)).toEqual(words.slice(1))
    for (const word of ['{{ vault "none" }}', '{{ nothing }}', '{{ vault "key" "previous" }}'])
      expect(home.run(['exec', '--fill-args', '--', 'touch', 'made', word])).toMatchObject({ stdout: '' })
    expect(existsSync(join(home.path, 'made'))).toBe(false)
  })

  it('reads the same in every spelling, and takes nothing behind -- for its own', async () => {
    const home = await Home.make()
    const lines = [
      ['--quiet', 'exec', '--env=A=key', '--', 'sh', '-c', 'printf %s "$A"', '--help'],
      ['exec', '--allow-dangerous-env', '-e', 'PATH=key', '--', NODE, '-p', 'process.env.PATH'],
    ]
    for (const argv of lines)
      expect(home.run(argv)).toMatchObject({ status: 0, stdout: expect.stringContaining(VALUE) })
    expect((await home.refuse(['exec', '--help', '--', 'sh'])).stdout).toContain(
      'Usage: mcpvault exec [flags] -- CMD [ARG…]',
    )
    expect(home.run(['exec', '--', 'echo', '--help', '--version']).stdout).toBe('--help --version\n')
  })

  it('says that a program cannot be started as shells do', async () => {
    const home = await Home.make()
    writeFileSync(join(home.path, 'plain'), 'text', { mode: 0o644 })
    expect(home.run(['exec', '-e', 'A=key', '--', 'no-such-program'])).toEqual({
      status: 127,
      stdout: '',
      stderr: 'mcpvault: error: cannot start "no-such-program": there is no such program\n',
    })
    expect(home.run(['exec', '--mask', '-e', 'A=key', '--', './plain'])).toMatchObject({ status: 126, stdout: '' })
    expect(home.run(['exec', '--', 'sh', '-c', 'kill -9 $$']).status).toBe(137)
  })

  it('starts nothing if one name is missing, and names all that are', async () => {
    const home = await Home.make()
    const touch = ['--', 'touch', join(home.path, 'started')]
    expect(await home.refuse(['exec', '-e', 'A=key', '-e', 'B=kez', ...touch])).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('did you mean "key"?'),
    })
    const both = await home.refuse(['exec', '-e', 'A=key', '-e', 'B=b1', '--file', 'C=c1', ...touch])
    expect(both).toMatchObject({ status: 3, stderr: expect.stringContaining('no credentials are named "b1", "c1"') })
    expect(existsSync(join(home.path, 'started'))).toBe(false)
    expect(home.folders()).toEqual([])
  })

  it('hands on every signal, and tells how the program ended', async () => {
    const home = await Home.make()
    const running = home.start(['exec', '-e', 'A=key', '--', NODE, '-e', LISTENER])
    await running.until(/ready/)
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGWINCH', 'SIGCONT', 'SIGQUIT'] as const) {
      running.process.kill(name)
      await running.until(new RegExp(`got ${name};`))
    }
    const { status, stdout, stderr } = await running.end()
    expect({ status, stderr }).toEqual({ status: 9, stderr: '' })
    expect(stdout.match(/got/g)).toHaveLength(6)
    const killed = home.start(['exec', '--', NODE, '-e', LISTENER])
    process.kill(Number((await killed.until(/ready (\d+);/))[1]), 'SIGKILL')
    expect(await killed.end()).toMatchObject({ status: 137 })
  })

  it('tells who holds what while the program runs', async () => {
    const home = await Home.make()
    const running = home.start(['exec', '-e', 'A=key', '-e', 'B=key', '--', NODE, '-e', LISTENER])
    await running.until(/ready/)
    const registry = join(home.path, 'mcp_holders.jsonl')
    const line = JSON.parse(readFileSync(registry, 'utf8')) as Record<string, unknown>
    const held = [{ name: 'key', version: 1 }]
    expect(line).toMatchObject({ pid: running.process.pid, command: 'exec', program: 'node', credentials: held })
    running.process.kill('SIGQUIT')
    await running.end()
    expect(readFileSync(registry, 'utf8')).toBe('')
  })
})

describe('a credential as a private file', () => {
  it('is gone when the program has ended, however it did', async () => {
    const home = await Home.make()
    const argv = ['exec', '--file', 'A=key', '--', NODE, '-e', `${LISTENER}; console.log('at ' + process.env.A + ';')`]
    const running = home.start(argv)
    const path = (await running.until(/at (.*);/))[1] ?? ''
    expect(readFileSync(path, 'utf8')).toBe(VALUE)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(dirname(path)).mode & 0o777).toBe(0o700)
    running.process.kill('SIGTERM')
    await running.until(/got SIGTERM/)
    expect(existsSync(path)).toBe(true)
    running.process.kill('SIGQUIT')
    expect((await running.end()).status).toBe(9)
    expect(home.folders()).toEqual([])
  })

  it('is swept by the next exec when mcpvault itself was killed, and not while it lives', async () => {
    const home = await Home.make()
    const argv = ['exec', '--file', 'A=key', '--', NODE, '-e', LISTENER]
    const [first, second] = [home.start(argv), home.start(argv)]
    const pids = [await first.until(/ready (\d+)/), await second.until(/ready (\d+)/)].map((match) => Number(match[1]))
    expect(home.folders()).toHaveLength(2)
    first.process.kill('SIGKILL')
    process.kill(pids[0] as number, 'SIGKILL')
    await first.end()
    const findings = await json<{ id: string; severity: string; what: string; mend: string }[]>(home.world, 'doctor')
    const left = findings.filter(({ what }) => what.includes(home.path) && what.includes('left by an exec'))
    expect(left).toMatchObject([{ id: 'private-folder', severity: 'note', mend: 'mcpvault exec -- true' }])
    expect(home.run(['exec', '--', 'true']).status).toBe(0)
    expect(home.folders()).toHaveLength(1)
    second.process.kill('SIGQUIT')
    await second.end()
    expect(home.folders()).toEqual([])
  })

  it('holds bytes that no variable can hold', async () => {
    const home = await Home.make()
    await store(home.world, 'binary', Buffer.from([0xff, 0xfe, 1, 2]))
    expect(await home.refuse(['exec', '-e', 'A=binary', '--', 'true'])).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(
        /cannot put "binary" into an environment variable: it is not text in UTF-8\n.*--file/,
      ),
    })
    expect(home.run(['exec', '--file', 'A=binary', '--', 'sh', '-c', 'od -An -tx1 "$A"']).stdout.trim()).toBe(
      'ff fe 01 02',
    )
  })
})

describe('masked output', () => {
  it('has no value in any form, wherever the program cuts it, and the leak is recorded once', async () => {
    const home = await Home.make()
    const script = `
      const bytes = Buffer.from(process.env.A)
      const forms = [bytes, bytes.toString('hex'), bytes.toString('base64'), encodeURIComponent(bytes), JSON.stringify(process.env.A)]
      let rest = Buffer.concat(forms.map((form) => Buffer.from('<' + form + '>')))
      const write = () => {
        if (rest.length === 0) { process.stderr.write('err ' + process.env.A); process.exitCode = 3; return }
        process.stdout.write(rest.subarray(0, 7), () => setImmediate(write)); rest = rest.subarray(7)
      }
      write()`
    const { status, stdout, stderr } = home.run([
      'exec',
      '--mask',
      '-e',
      'A=key',
      '-e',
      'B=other',
      '--',
      NODE,
      '-e',
      script,
    ])
    expect(status).toBe(3)
    expect(findForms(stdout + stderr, VALUE)).toEqual([])
    expect(stdout).toBe('<[redacted]><[redacted]><[redacted]><[redacted]><"[redacted]">')
    expect(stderr).toMatch(
      /^err \[redacted\]mcpvault: warning: the program printed the value of "key", which was masked: /,
    )
    await home.refuse(['rotation-due'])
    expect(home.world.stdout).toMatch(/^key\t.*leak/)
  })

  it('comes at once when it cannot be the beginning of a value', async () => {
    const home = await Home.make()
    const running = home.start([
      'exec',
      '--mask',
      '-e',
      'A=key',
      '--',
      'sh',
      '-c',
      'printf "Go on? "; read answer; echo "$answer"',
    ])
    await running.until(/^Go on\? $/)
    running.process.stdin.end('yes\n')
    expect(await running.end()).toMatchObject({ status: 0, stdout: 'Go on? yes\n' })
  })

  it('is passed on whole however much it is, and ends where nobody reads it any more', async () => {
    const home = await Home.make()
    const sum = home.run(['exec', '--mask', '-e', 'A=key', '--', 'sh', '-c', 'yes 0123456789abcdef | head -c 1000000'])
    expect(sum.stdout === '0123456789abcdef\n'.repeat(Math.ceil(1_000_000 / 17)).slice(0, 1_000_000)).toBe(true)
    const words = [NODE, launcher(), 'exec', '--mask', '-e', 'A=key', '--', 'sh', '-c', 'yes; echo "status $?" >&2']
    const script = `{ ${words.map((word) => `'${word}'`).join(' ')} | head -1; } 2>&1`
    const shown = execFileSync('sh', ['-c', script], { env: home.env, cwd: home.path, encoding: 'utf8' })
    // 141: ended by SIGPIPE, as it is behind a pipe of the shell's.
    expect(shown.split('\n').sort()).toEqual(['', 'status 141', 'y'])
  })

  it('is what the program writes to /dev/stdout and /dev/stderr, too, and leaves no pipe behind', async () => {
    const home = await Home.make()
    const script = 'echo "out $A" > /dev/stdout; echo "err $A" > /dev/stderr; ls -d "$TMPDIR"/mcpvault-* 2>&1 | wc -l'
    const { status, stdout, stderr } = home.run(['exec', '--mask', '-e', 'A=key', '--', 'sh', '-c', script])
    expect({ status, stdout }).toEqual({ status: 0, stdout: 'out [redacted]\n1\n' })
    expect(stderr).toMatch(/^err \[redacted\]\n/)
    expect(home.folders()).toEqual([])
  })

  it('is refused where there is no mkfifo, and the program is not started', async () => {
    const home = await Home.make()
    home.world.env.PATH = '/nowhere'
    const touch = ['--', '/usr/bin/touch', join(home.path, 'started')]
    const { status, stderr } = await home.refuse(['exec', '--mask', '-e', 'A=key', ...touch])
    expect(status).toBe(2)
    expect(stderr).toContain('cannot mask the output: there is no program "mkfifo"')
    expect(existsSync(join(home.path, 'started'))).toBe(false)
  })
})

describe('secrecy', () => {
  it('leaves no value in arguments, errors, the registry or the key’s descriptor', async () => {
    const home = await Home.make()
    writeFileSync(join(home.path, 'keyfile'), KEY)
    const script =
      'cat /dev/fd/5 2>/dev/null; tr "\\0" "\\n" < /proc/$PPID/cmdline; cat mcp_holders.jsonl; find . -name "mcpvault-*"'
    const line = `env -u MCP_ENCRYPTION_KEY '${NODE}' '${launcher()}' exec --key-fd 5 -e A=key -- sh -c '${script}' 5< keyfile`
    const printed = execFileSync('sh', ['-c', line], { env: home.env, cwd: home.path, encoding: 'utf8' })
    expect(printed).toContain('"credentials":[{"name":"key","version":1}]')
    expect(findForms(printed, VALUE)).toEqual([])
    expect(findForms(printed, KEY)).toEqual([])
  })

  it('refuses words that may be values without repeating them', async () => {
    const home = await Home.make()
    for (const word of ['hunter2-hunter2', 'hunter2-hunter2=key', 'A=']) {
      const { status, stderr } = await home.refuse(['exec', '-e', word, '--', 'true'])
      expect(status).toBe(2)
      expect(stderr).not.toContain('hunter2')
    }
    expect((await home.refuse(['exec', '-e', 'LD_PRELOAD=key', '--', 'true'])).stderr).toMatch(
      /cannot set the variable "LD_PRELOAD"/,
    )
    const twice = await home.refuse(['exec', '-e', 'A=key', '--file', 'A=other', '--', 'true'])
    expect(twice.stderr).toMatch(/asked for twice/)
  })
})

describe('on a terminal', () => {
  it('gives the program the terminal itself, Ctrl-C once, and what is sent to mcpvault alone once, too', async () => {
    const home = await Home.make()
    const script = `console.log([0, 1, 2].map((fd) => require('tty').isatty(fd)).join() + ' ' + process.stdout.columns + ';')
      for (const name of ['SIGINT', 'SIGQUIT']) process.on(name, () => console.log('got ' + name + ';'))
      process.on('SIGTERM', () => { console.log('bye;'); process.exit(4) })
      setInterval(() => {}, 1000); console.log('ready;')`
    const pty = spawn(NODE, [launcher(), 'exec', '-e', 'A=key', '--', NODE, '-e', script], {
      cols: 91,
      rows: 30,
      env: home.env,
      cwd: home.path,
    })
    onTestFinished(() => pty.kill())
    let [shown, seen] = ['', 0]
    let look = (): void => {}
    pty.onData((data) => {
      shown += data
      look()
    })
    const until = (text: string): Promise<void> =>
      new Promise((resolve) => {
        look = () => {
          if (!shown.includes(text, seen)) return
          seen = shown.indexOf(text, seen) + text.length
          resolve()
        }
        look()
      })
    const ended = new Promise<number>((resolve) => pty.onExit(({ exitCode }) => resolve(exitCode)))
    await until('ready;')
    let typedAt = ''
    for (const [signal, key] of [
      ['SIGINT', undefined],
      ['SIGINT', '\x03'],
      ['SIGQUIT', undefined],
      ['SIGQUIT', '\x1c'],
      ['SIGINT', '\x03'],
      ['SIGINT', undefined],
    ] as const) {
      const witness = await witnessOf(pty.pid, typedAt)
      if (key === undefined) process.kill(pty.pid, signal)
      else {
        typedAt = witness
        pty.write(key)
      }
      await until(`got ${signal};`)
    }
    process.kill(pty.pid, 'SIGTERM')
    expect(await ended).toBe(4)
    expect(shown).toContain('true,true,true 91;')
    const got = shown.match(/got SIG(INT|QUIT);/g)?.map((word) => word.slice(7, -1))
    expect(got).toEqual(['INT', 'INT', 'QUIT', 'QUIT', 'INT', 'INT'])
  })
})
