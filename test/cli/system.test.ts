import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, openSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { type Bundle, bundleScript } from '../support/bundle.js'
import { launcher } from '../support/built.js'
import { temporaryDirectory } from '../support/directory.js'
import { need } from '../support/need.js'

let child: Bundle
beforeAll(async () => {
  child = await bundleScript(new URL('./system-child.ts', import.meta.url))
})
afterAll(() => child.remove())

const env = { ...process.env, NODE_EXTRA_CA_CERTS: undefined }

function run(...args: readonly string[]) {
  return spawnSync(process.execPath, [child.path, ...args], { env, encoding: 'utf8', maxBuffer: 1e8 })
}

function shell(script: string) {
  return spawnSync('bash', ['-c', script, 'bash', process.execPath, child.path], {
    env,
    encoding: 'utf8',
    maxBuffer: 1e8,
  })
}

function start(...args: readonly string[]): ChildProcessWithoutNullStreams {
  const started = spawn(process.execPath, args, { env })
  onTestFinished(() => void started.kill('SIGKILL'))
  return started
}

/** Waits until a stream has shown a text, and gives all that it has shown. */
async function untilSeen(stream: NodeJS.ReadableStream, text: string): Promise<string> {
  let seen = ''
  for await (const chunk of stream) {
    seen += String(chunk)
    if (seen.includes(text)) return seen
  }
  return seen
}

describe('a working directory that is gone', () => {
  const gone = (...argv: readonly string[]) => {
    const directory = mkdtempSync(join(temporaryDirectory(), 'gone-'))
    const script = `cd "$1" && rmdir "$1" && "$2" "$3" main '${JSON.stringify(argv)}'`
    return spawnSync('bash', ['-c', script, 'bash', directory, process.execPath, child.path], { env, encoding: 'utf8' })
  }

  it('is no matter where every path is absolute', () => {
    const vault = join(temporaryDirectory(), 'vault.enc')
    const { status, stderr } = gone('load', 'name', '--vault', vault)
    expect([status, stderr]).toEqual([3, expect.stringContaining('no vault was found')])
  })

  it('is named where a path is relative', () => {
    const { status, stderr } = gone('load', 'name', '--vault', 'vault.enc')
    expect([status, stderr]).toEqual([9, expect.stringContaining('the current directory is gone')])
  })
})

describe('the home directory', () => {
  it.each(['', 'relative'])(
    'is that of the user where HOME is "%s": keys never land wherever a command runs',
    (HOME) => {
      const bare = { ...env, HOME, XDG_DATA_HOME: undefined, MCPVAULT_FILE: undefined }
      const args = [child.path, 'main', '["list"]']
      const { stderr } = spawnSync(process.execPath, args, { env: bare, cwd: temporaryDirectory(), encoding: 'utf8' })
      expect(stderr).toContain(`looked for "${join(userInfo().homedir, '.local/share/mcpvault')}`)
    },
  )
})

describe('writing', () => {
  it('waits for a slow reader of a non-blocking pipe and loses nothing', async () => {
    const parent = start(child.path, 'nonblocking-parent', '3000000')
    let count = 0
    for await (const chunk of parent.stdout) {
      count += (chunk as Buffer).length
      if (count < 500_000) await sleep(2)
    }
    expect(count).toBe(3_000_000)
  })

  it('ends quietly when the reader has gone away', () => {
    const { stdout, stderr } = shell('set -o pipefail; "$1" "$2" write 3000000 | head -c 3; echo " $?"')
    expect([stdout, stderr]).toEqual(['xxx 0\n', ''])
  })

  it('reports a full disk', (context) => {
    need(context, existsSync('/dev/full'), 'there is no /dev/full')
    const result = shell('"$1" "$2" write 10 > /dev/full')
    expect(result.status).toBe(9)
    expect(result.stderr).toBe('IO: cannot write to stdout: the disk is full\n')
  })
})

describe('reading stdin', () => {
  it('reads to the end', () => {
    expect(shell('head -c 200000 /dev/zero | "$1" "$2" read 200000').stdout).toBe('200000\n')
  })

  it('refuses a closed stdin', () => {
    const result = shell('"$1" "$2" read 10 <&-')
    expect([result.status, result.stderr]).toEqual([2, 'INPUT: cannot read stdin: it is closed\n'])
  })

  it('refuses more than the bound, without waiting for the end', () => {
    const result = shell('yes | "$1" "$2" read 10')
    expect([result.status, result.stderr]).toEqual([2, 'INPUT: cannot read stdin: it is longer than 10 bytes\n'])
  })

  it('waits for a silent pipe, and says so', async () => {
    const reader = start(child.path, 'read', '10')
    const said = await untilSeen(reader.stderr, '\n')
    expect(said).toBe('mcpvault: waiting for the value on stdin\n')
    reader.stdin.end('value')
    expect(await untilSeen(reader.stdout, '\n')).toBe('5\n')
  })
})

describe('other descriptors and programs', () => {
  it('reads an inherited descriptor to its end', () => {
    const path = join(temporaryDirectory(), 'key')
    writeFileSync(path, 'content')
    const stdio = ['ignore', 'pipe', 'pipe', openSync(path, 'r')] as const
    const result = spawnSync(process.execPath, [child.path, 'descriptor', '3'], {
      env,
      stdio: [...stdio],
      encoding: 'utf8',
    })
    expect(result.stdout).toBe('content')
  })

  it('refuses a descriptor that is not open or that has too much', () => {
    expect(run('descriptor', '77').stderr).toBe('INPUT: cannot read descriptor 77: it is not open for reading\n')
    expect(shell('"$1" "$2" descriptor 5 5< <(yes)').stderr).toContain('longer than 100 bytes')
  })

  it('runs a program without a shell', () => {
    const echo = run('program', JSON.stringify(['printf', '%s', '$HOME;`id`']))
    expect(JSON.parse(echo.stdout)).toMatchObject({
      exitCode: 0,
      signal: null,
      stdout: { data: [...Buffer.from('$HOME;`id`')] },
    })
    expect(JSON.parse(run('program', '["false"]').stdout)).toMatchObject({ exitCode: 1 })
  })

  it('says why a program gives nothing, and never quotes it', () => {
    const reasons: Readonly<Record<string, string>> = {
      '["/nowhere/hunter2"]': 'there is no such file',
      '["/etc/passwd"]': 'it may not be executed',
      '["sleep","60"]': 'it took too long',
      '["yes","hunter2"]': 'it printed too much',
      '["a\\u0000hunter2"]': 'the system refused',
    }
    for (const [program, reason] of Object.entries(reasons)) {
      const { status, stderr } = run('program', program)
      expect([status, stderr], program).toEqual([2, `INPUT: cannot run a program: ${reason}\n`])
    }
  })

  it('knows what is no terminal', () => {
    expect(JSON.parse(shell('"$1" "$2" terminals 2>/dev/null < /dev/null').stdout)).toEqual([false, false, false])
  })
})

describe('the launcher', () => {
  it('gives the exit status and both streams', () => {
    const good = spawnSync(process.execPath, [launcher(), '--version'], { env, encoding: 'utf8' })
    expect([good.status, good.stdout, good.stderr]).toEqual([0, '0.1.0\n', ''])
    const bad = spawnSync(process.execPath, [launcher(), 'hepl'], { env, encoding: 'utf8' })
    expect([bad.status, bad.stdout]).toEqual([2, ''])
    expect(bad.stderr).toContain('hint: did you mean "help"?')
  })

  it('takes the hot commands as well as their odd spellings', () => {
    const directory = temporaryDirectory()
    for (const args of [
      ['load', 'x'],
      ['--quiet', 'load', 'x'],
      ['load', '--vault=v', 'x'],
      ['token', 'check', '--tool', 'x'],
    ]) {
      const result = spawnSync(process.execPath, [launcher(), ...args], {
        env: { HOME: directory },
        cwd: directory,
        encoding: 'utf8',
      })
      expect([result.status, result.stdout], `${args} ${result.stderr}`).toEqual([3, ''])
    }
  })

  it('turns whatever escapes into 70, and prints its message only with --debug', () => {
    const directory = temporaryDirectory()
    cpSync(dirname(launcher()), join(directory, 'bin'), { recursive: true })
    mkdirSync(join(directory, 'dist', 'cli'), { recursive: true })
    writeFileSync(join(directory, 'dist', 'cli', 'entry.js'), 'throw new TypeError("hunter2")')
    const path = join(directory, 'bin', 'mcpvault.js')
    const plain = spawnSync(process.execPath, [path, 'list'], { env, encoding: 'utf8' })
    expect([plain.status, plain.stdout]).toEqual([70, ''])
    expect(plain.stderr).toBe('mcpvault: error: a bug in mcpvault: unexpected TypeError\n')
    const debug = spawnSync(process.execPath, [path, 'list', '--debug'], { env, encoding: 'utf8' })
    expect(debug.stderr).toContain('hunter2')
  })

  it('keeps SIGUSR1 from opening the inspector', async () => {
    const open = start('-e', 'process.stdin.resume();console.error("ready")')
    await sleepUntilReady(open, 'ready')
    open.kill('SIGUSR1')
    expect(await untilSeen(open.stderr, 'Debugger')).toContain('Debugger listening')

    const closed = start(launcher(), 'token', 'show', '--token-file', '-')
    await sleepUntilReady(closed, 'waiting')
    closed.kill('SIGUSR1')
    closed.stdin.end('nothing')
    expect(await untilSeen(closed.stderr, 'Debugger')).not.toContain('Debugger')
  })
})

async function sleepUntilReady(started: ChildProcessWithoutNullStreams, text: string): Promise<void> {
  await new Promise<void>((resolve) => {
    let seen = ''
    started.stderr.on('data', function listen(chunk: Buffer) {
      seen += chunk
      if (!seen.includes(text)) return
      started.stderr.off('data', listen)
      resolve()
    })
  })
}
