import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { spawn } from '@lydell/node-pty'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { formatScript } from '../../src/cli/completion-script.js'
import { collectTree } from '../../src/cli/completion-tree.js'
import { launcher } from '../support/built.js'
import { TestWorld } from '../support/context.js'
import { temporaryDirectory } from '../support/directory.js'
import { needProgram } from '../support/need.js'
import { KEY } from './commands/support.js'

type Environment = Record<string, string>

/** Tells whether a shell is there, and says loudly when it is not. */
function hasShell(name: string): boolean {
  try {
    execFileSync(name, ['-c', 'exit 0'], { stdio: 'ignore' })
    return true
  } catch {
    // biome-ignore lint/suspicious/noConsole: a test that did not run must be seen.
    console.warn(`\n!!! ${name} is not installed: its completion was NOT tried (apt-get install ${name})\n`)
    return false
  }
}

/** A home with a vault of three credentials and a token, whose PATH has the built mcpvault. */
function makeHome(): Environment {
  const home = temporaryDirectory()
  const bin = join(home, 'bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'mcpvault'), `#!/bin/sh\nexec "${process.execPath}" "${launcher()}" "$@"\n`)
  chmodSync(join(bin, 'mcpvault'), 0o755)
  const env = {
    HOME: home,
    PATH: `${bin}:${process.env.PATH}`,
    MCP_ENCRYPTION_KEY: KEY,
    TERM: 'xterm',
    LANG: 'C.UTF-8',
  }
  const run = (...argv: readonly string[]): void => {
    execFileSync('mcpvault', argv, { env, cwd: home, stdio: 'ignore' })
  }
  run('init', '--vault', join(home, 'mcp_credentials.enc'))
  for (const name of ['scavio_api_key', 'github/token', 'eu:key@1']) run('store', name, '--generate')
  run('token', 'create', '--tools', 'web_search', '--label', 'ci')
  mkdirSync(join(home, 'folder'))
  writeFileSync(join(home, 'folder', 'other.enc'), '')
  for (const shell of ['bash', 'zsh', 'fish']) {
    writeFileSync(join(home, shell), execFileSync('mcpvault', ['completion', shell], { env, cwd: home }))
  }
  return env
}

/** What a command line that ends at the cursor is completed with. */
const CASES: readonly (readonly [line: string, expected: readonly string[]])[] = [
  ['mcpvault sta', ['status']],
  ['mcpvault token ', ['check', 'create', 'list', 'narrow', 'revoke', 'show']],
  ['mcpvault token re', ['revoke']],
  ['mcpvault --json log v', ['verify']],
  ['mcpvault load s', ['scavio_api_key']],
  ['mcpvault load -n g', ['github/token']],
  ['mcpvault load scavio_api_key ', []],
  ['mcpvault rotation-due scavio_api_key g', ['github/token']],
  ['mcpvault store ', []],
  ['mcpvault log show -n ', []],
  ['mcpvault log show -n 5 s', ['scavio_api_key']],
  ['mcpvault --vault nowhere.enc load ', []],
  ['mcpvault --vault=nowhere.enc load ', []],
  ['mcpvault rotation-due --format n', ['nagios', 'names']],
  ['mcpvault completion z', ['zsh']],
  ['mcpvault help exit', ['exit-codes']],
  ['mcpvault token revoke c', ['ci']],
  ['mcpvault load --vers', ['--version']],
  ['mcpvault load --no-c', ['--no-color']],
  ['mcpvault exec -e X', []],
  ['mcpvault exec -- --v', []],
  ['mcpvault exec -e X=scavio_api_key -- load s', []],
  ['mcpvault nonsense ', []],
  ['mcpvault load nobody', []],
]

function linesOf(text: string): readonly string[] {
  return text.split('\n').filter((line) => line !== '')
}

function firstWords(text: string): readonly string[] {
  return linesOf(text)
    .map((line) => line.split('\t')[0] ?? '')
    .sort()
}

describe('completion in bash', () => {
  beforeEach((context) => needProgram(context, 'bash'))

  const complete = (env: Environment, line: string): readonly string[] => {
    const script = `source ~/bash; COMP_LINE="$1"; COMP_POINT=\${#1}; _mcpvault mcpvault; printf '%s\\n' "\${COMPREPLY[@]}"`
    return firstWords(execFileSync('bash', ['--norc', '-c', script, 'bash', line], { env, cwd: env.HOME }).toString())
  }

  it('knows commands, flags, words, names and tokens', () => {
    const env = makeHome()
    for (const [line, expected] of CASES) expect(complete(env, line), line).toEqual(expected)
  })

  it('gives only what stands behind a break of words, as readline wants it', () => {
    const env = makeHome()
    expect(complete(env, 'mcpvault load eu:k')).toEqual(['key@1'])
    expect(complete(env, 'mcpvault rotation-due --format=na')).toEqual(['nagios', 'names'])
    expect(complete(env, 'mcpvault exec -e X=s')).toEqual(['scavio_api_key'])
  })

  it('answers the Tab key', async () => {
    const env = makeHome()
    const shown = await type('bash', ['--norc', '-i'], {
      env,
      setUp: 'source ~/bash',
      keys: ['mcpvault rotation-due sca\t', '--for\t', 'nag\t'],
      until: /mcpvault rotation-due scavio_api_key --format nagios /,
    })
    expect(shown).not.toContain('command not found')
    await type('bash', ['--norc', '-i'], {
      env,
      setUp: 'source ~/bash',
      keys: ['X=1 mcpvault load eu:\t', '; mcpvault --vault fol\t', 'oth\t'],
      until: /X=1 mcpvault load eu:key@1 ; mcpvault --vault folder\/other\.enc /,
    })
  })
})

describe('completion in zsh', () => {
  beforeEach((context) => needProgram(context, 'zsh'))

  it('knows commands, flags, words, names and tokens', () => {
    const env = makeHome()
    const script = 'source ~/zsh; __mcpvault_candidates "$@"'
    for (const [line, expected] of CASES) {
      const words = line.split(' ')
      const output = execFileSync('zsh', ['-f', '-c', script, 'zsh', ...words], { env, cwd: env.HOME }).toString()
      // zsh itself drops what does not go on from what was typed.
      const fitting = firstWords(output).filter((word) => word.startsWith(words.at(-1) ?? ''))
      expect(fitting, line).toEqual(expected)
    }
    const output = execFileSync('zsh', ['-f', '-c', script, 'zsh', 'mcpvault', 'exec', '-e', 'X=s'], {
      env,
      cwd: env.HOME,
    })
    expect(firstWords(output.toString())).toContain('X=scavio_api_key')
  })

  it('answers the Tab key', async () => {
    const env = makeHome()
    const terminal = { env, setUp: 'PS1="> "; autoload -U compinit; compinit -u -D; source ~/zsh' }
    await type('zsh', ['-f', '-i'], {
      ...terminal,
      keys: ['mcpvault rotation-due sca\t', '--for\t', 'nag\t'],
      until: /rotation-due scavio_api_key.*--format.*nagios/s,
    })
    await type('zsh', ['-f', '-i'], { ...terminal, keys: ['mcpvault load eu\t'], until: /load eu.*:key@1/s })
    await type('zsh', ['-f', '-i'], { ...terminal, keys: ['mcpvault token \t'], until: /create +-- makes a token/ })
    await type('zsh', ['-f', '-i'], {
      ...terminal,
      keys: ['mcpvault --vault=fol\t', 'oth\t'],
      until: /folder\/.*other\.enc/s,
    })
  })
})

describe('completion in fish', () => {
  beforeEach((context) => needProgram(context, 'fish'))

  const complete = (env: Environment, line: string): readonly string[] => {
    const script = 'source ~/fish; complete -C $argv[1]'
    return firstWords(execFileSync('fish', ['--no-config', '-c', script, line], { env, cwd: env.HOME }).toString())
  }

  it('knows commands, flags, words, names and tokens', () => {
    const env = makeHome()
    // fish also offers what has the typed text in its middle, where nothing begins with it.
    for (const [line, expected] of CASES) expect(complete(env, line), line).toEqual(expected)
    expect(complete(env, 'mcpvault load eu')).toEqual(['eu:key@1'])
    expect(complete(env, 'mcpvault rotation-due --format=na')).toEqual(['--format=nagios', '--format=names'])
    expect(complete(env, 'mcpvault exec -e X=s')).toEqual(['X=scavio_api_key'])
    expect(complete(env, 'mcpvault --vault fold')).toEqual(['folder/'])
    expect(complete(env, 'mcpvault --vault=folder/')).toEqual(['--vault=folder/other.enc'])
  })

  it('says what a command does', () => {
    const env = makeHome()
    const script = 'source ~/fish; complete -C "mcpvault stor"'
    expect(execFileSync('fish', ['--no-config', '-c', script], { env, cwd: env.HOME }).toString()).toBe(
      'store\tkeeps a new credential\n',
    )
  })
})

/** Types into an interactive shell, one piece after the echo of the other, until it shows a pattern. */
async function type(
  shell: string,
  args: string[],
  options: { env: Environment; setUp: string; keys: readonly string[]; until: RegExp },
): Promise<string> {
  const pty = spawn(shell, args, { cols: 200, rows: 50, cwd: options.env.HOME ?? '/', env: options.env })
  const ended = new Promise<void>((resolve) => pty.onExit(() => resolve()))
  onTestFinished(() => {
    pty.kill('SIGKILL')
    return ended
  })
  let shown = ''
  let wake = (): void => {}
  pty.onData((data) => {
    shown += data
    wake()
  })
  const until = async (isReached: () => boolean): Promise<void> => {
    while (!isReached()) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  pty.write(`${options.setUp}; echo rea""dy\r`)
  await until(() => /ready\r?\n/.test(shown))
  shown = ''
  for (const keys of options.keys) {
    const before = shown.length
    pty.write(keys)
    // Completing is done when something longer than what was typed has come back.
    await until(() => plain(shown.slice(before)).length >= keys.length)
  }
  await until(() => options.until.test(plain(shown)))
  return plain(shown)
}

/** Drops what moves the cursor and colours, and the bell. */
function plain(text: string): string {
  return text.replace(/\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007]*\u0007|[=>])/g, '').replace(/[\u0007\b]/g, '')
}

describe('a completion script', () => {
  it('runs nothing that a name, a summary or a help text says', async () => {
    const tree = await collectTree(new TestWorld({ directory: '/nowhere' }).context())
    const evil = `it's $(touch /tmp/x) \`id\` "quoted" \\ $HOME`
    const command = {
      path: 'evil',
      commands: [],
      flags: [],
      places: [[{ word: evil, meaning: evil }]],
      isRepeated: false,
    }
    for (const shell of ['bash', 'zsh', 'fish'] as const) {
      if (!hasShell(shell)) continue
      const script = formatScript(shell, { ...tree, commands: [...tree.commands, command] })
      const home = temporaryDirectory()
      writeFileSync(join(home, 'script'), script)
      const args = shell === 'fish' ? ['--no-config', '-c'] : ['-c']
      const output = execFileSync(shell, [...args, 'source ./script; __mcpvault_place evil 0'], {
        cwd: home,
      }).toString()
      expect(output, shell).toBe(`${evil}\t${evil}\n`)
    }
  })

  it('knows every command and every flag of it', async () => {
    const { commands, globals } = await collectTree(new TestWorld({ directory: '/nowhere' }).context())
    const paths = commands.map(({ path }) => path)
    expect(paths).toEqual(expect.arrayContaining(['', 'load', 'token', 'token check', 'rotation-due', 'completion']))
    expect(
      commands.find(({ path }) => path === 'rotation-due')?.flags.map(({ spellings }) => spellings),
    ).toContainEqual(['--format'])
    expect(globals.map(({ spellings }) => spellings)).toContainEqual(['--vault'])
    const words = commands.flatMap(({ flags }) => flags).filter(({ spellings }) => spellings.includes('--format'))
    expect(words.length).toBeGreaterThan(1)
    for (const { value } of words)
      expect(value).toEqual(expect.arrayContaining([{ word: expect.any(String), meaning: '' }]))
  })
})
