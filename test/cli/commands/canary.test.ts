import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startStandIn } from '../../../src/search/stand-in.js'
import { TestWorld } from '../../support/context.js'
import { findForms, formsOf } from '../../support/forms.js'
import { startBytes } from '../../support/loopback.js'
import { emptyTutorialWorld, HEX_KEY, KEY, nativeWorld, OTHER_KEY, VAULT, write } from './support.js'

/** Visible ASCII, so that it can be sent in a header; every encoder writes it in another way. */
const CANARY = `cAnArY-7f3e%&+/"\\'<>{}~9d41`
const SECOND = `sEcOnD-51bb%&+/"\\'<>{}~c0de`
const GUESS = `gUeSsEd-88aa%&+/"\\'<>{}~beef`

/** Everything that commands have written, and every secret that must not be in it. */
class Watch {
  readonly world: TestWorld
  readonly secrets = new Map<string, string>([
    ['the first value', CANARY],
    ['the second value', SECOND],
    ['a value that was refused', GUESS],
    ['the key', KEY],
    ['the key in hex', HEX_KEY],
    ['another key', OTHER_KEY],
  ])
  commands = 0
  /** What was looked at before and found clean of that many secrets: most files stay as they are. */
  readonly #clean = new Map<string, { readonly bytes: Buffer; readonly secrets: number }>()

  constructor(world: TestWorld) {
    this.world = world
  }

  /** Runs a command and looks at its streams and at every file; gives its stdout. */
  async run(argv: readonly string[], options: WatchOptions = {}): Promise<string> {
    const { world } = this
    world.stdin = options.stdin
    const status = await world.run(...argv)
    world.stdin = undefined
    this.commands += 1
    const what = `mcpvault ${argv.join(' ')}`
    if (options.status !== undefined) expect(status, `${what}: ${world.stderr}`).toBe(options.status)
    this.#expectClean(world.stderr, `stderr of ${what}`)
    if (!options.prints) this.#expectClean(world.stdout, `stdout of ${what}`)
    if (!options.skipFiles) this.lookAtFiles(what)
    return world.stdout
  }

  /** Looks at every file in the world, whatever made it. */
  lookAtFiles(after: string): void {
    for (const entry of readdirSync(this.world.directory, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name)
      this.#expectClean(path, `name of a file after ${after}`)
      if (entry.isFile() && !entry.name.startsWith('mine')) this.#lookAt(path, after)
    }
  }

  #lookAt(path: string, after: string): void {
    const [bytes, known, secrets] = [readFileSync(path), this.#clean.get(path), this.secrets.size]
    if (known?.secrets === secrets && known.bytes.equals(bytes)) return
    this.#expectClean(bytes, `${path} after ${after}`)
    this.#clean.set(path, { bytes, secrets })
  }

  #expectClean(bytes: Buffer | string, where: string): void {
    for (const [name, secret] of this.secrets) {
      const forms = findForms(bytes, secret)
      if (forms.length > 0) throw new Error(`${name} stands in ${where}: ${forms.join(', ')}`)
    }
  }
}

interface WatchOptions {
  readonly stdin?: string
  /** Looked at only when given. */
  readonly status?: number
  /** The command's purpose is to print a secret. */
  readonly prints?: boolean
  readonly skipFiles?: boolean
}

/** Runs a command as it is, for people's eyes, for programs and for whoever looks for a bug. */
async function everyWay(watch: Watch, argv: readonly string[], options: WatchOptions = {}): Promise<void> {
  for (const flags of [[], ['--json'], ['--debug'], ['--json', '--debug']]) {
    await watch.run([...argv, ...flags], { ...options, skipFiles: true })
  }
  watch.world.setTerminal(true)
  await watch.run(argv, options)
  watch.world.setTerminal(false)
}

/** Every command that works, on a vault that may be in any format. */
async function playLife(watch: Watch, isNative: boolean): Promise<string> {
  const { world } = watch
  await watch.run(['store', 'scavio_api_key', '--stdin'], { stdin: `${CANARY}\n`, status: 0 })
  write(world, 'mine.value', CANARY)
  await watch.run(['store', 'from_file', '--from-file', 'mine.value'], { status: 0 })
  await watch.run(['rotate', 'scavio_api_key', '--stdin', '--reason', 'because'], { stdin: SECOND, status: 0 })
  await watch.run(['rotate', 'from_file', '--stdin', '--json'], { stdin: SECOND, status: 0 })
  if (isNative) {
    await watch.run(['rollback', 'from_file'], { status: 0 })
    await watch.run(['load', 'from_file', '--version', 'previous'], { status: 0, prints: true })
  }
  expect(await watch.run(['load', 'scavio_api_key'], { prints: true })).toBe(`${SECOND}\n`)
  await watch.run(['export', '--format', 'env'], { prints: true, status: 0 })
  await watch.run(['export', '--format', 'fernet'], { status: 0 })
  await watch.run(['export', '--format', 'aes-256-gcm', '-o', 'exported.enc'], { status: 0 })
  await watch.run(['export', '-o', 'mine.export'], { status: 0 })
  await playCare(watch)
  const token = (
    await watch.run(['token', 'create', '--tools', 'web_search', '--label', 'ci'], { prints: true })
  ).trim()
  watch.secrets.set('the token', token)
  world.env.MCPVAULT_TOKEN = token
  const narrowed = (await watch.run(['token', 'narrow', '--ttl', '5m'], { prints: true })).trim()
  watch.secrets.set('the narrowed token', narrowed.slice(0, -1))
  for (const argv of [
    ['list'],
    ['history', 'scavio_api_key'],
    ['rotation-due', '--max-age', '0'],
    ['rotation-due', '--max-age', '0', '--format', 'prometheus'],
    ['rotation-due', '--max-age', '0', '--format', 'nagios'],
    ['log', 'show'],
    ['log', 'verify'],
    ['token', 'list', '--all'],
    ['token', 'show'],
    ['token', 'check', '--tool', 'web_search'],
    ['token', 'check', '--tool', 'other'],
    ['status'],
    ['doctor'],
    ['completion', 'names'],
    ['completion', 'tokens'],
    ['completion', 'bash'],
    ['help'],
    ['help', 'environment'],
  ]) {
    await everyWay(watch, argv)
  }
  return token
}

/** What looks after many credentials at once, and after the files. */
async function playCare(watch: Watch): Promise<void> {
  const { world } = watch
  await everyWay(watch, ['key', 'check'], { status: 0 })
  write(world, 'mine.env', `IMPORTED='${CANARY.replaceAll("'", `'\\''`)}'\n`)
  write(world, 'mine.json', JSON.stringify({ IMPORTED: SECOND }))
  await everyWay(watch, ['import', 'mine.env', '--dry-run'], { status: 0 })
  await watch.run(['import', 'mine.env'], { status: 0 })
  await everyWay(watch, ['import', 'mine.env'], { status: 4 })
  await watch.run(['import', 'mine.json', '--on-conflict', 'rotate', '--json'], { status: 0 })
  for (const text of [
    `A=${GUESS}#${GUESS}`,
    `A="${GUESS}`,
    GUESS,
    `A=1\nB='${GUESS}' ${GUESS}`,
    `{"A":{"B":"${GUESS}`,
  ]) {
    await everyWay(watch, ['import', '-'], { stdin: text, status: 2, skipFiles: true })
  }
  await everyWay(watch, ['import', '-'], { stdin: JSON.stringify({ A: { B: GUESS } }), status: 2, skipFiles: true })
  await watch.run(['rename', 'IMPORTED', 'renamed'], { status: 0 })
  await watch.run(['backup', 'copy'], { status: 0 })
  await everyWay(watch, ['restore', 'copy'], { skipFiles: true })
  await watch.run(['restore', 'copy', '--yes', '--debug'], { status: 0 })
  await watch.run(['remove', 'renamed', '--yes'], { status: 0 })
}

/** The search, answered well, badly, and with everything that the request held. */
async function playSearch(watch: Watch): Promise<void> {
  const { world } = watch
  const standIn = await startStandIn({ accepts: (apiKey) => apiKey === SECOND })
  const reflected = JSON.stringify({
    results: [{ title: SECOND, url: encodeURIComponent(SECOND), snippet: Buffer.from(SECOND).toString('hex') }],
  })
  const answers = [
    `HTTP/1.1 200 OK\r\ncontent-length: ${reflected.length}\r\n\r\n${reflected}`,
    `HTTP/1.1 401 ${SECOND}\r\ncontent-length: ${SECOND.length}\r\n\r\n${SECOND}`,
    `HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/${SECOND}\r\ncontent-length: 0\r\n\r\n`,
    `HTTP/1.1 429 No\r\nretry-after: ${SECOND}\r\ncontent-length: 0\r\n\r\n`,
    `HTTP/1.1 500 No\r\ncontent-length: 5000\r\n\r\n${SECOND}`,
    `HTTP/1.1 200 OK\r\ncontent-length: ${SECOND.length}\r\n\r\n${SECOND}`,
    `nonsense ${SECOND}\r\n\r\n`,
  ]
  try {
    world.env.SCAVIO_BASE_URL = standIn.baseUrl
    await everyWay(watch, ['search', 'words'], { status: 0 })
    for (const answer of answers) {
      const server = await startBytes(answer)
      world.env.SCAVIO_BASE_URL = server.url
      await everyWay(watch, ['search', 'words'], { skipFiles: true })
      await server.close()
    }
    world.env.SCAVIO_BASE_URL = `http://user:${encodeURIComponent(GUESS)}@127.0.0.1:1`
    await everyWay(watch, ['search', 'words'], { status: 2, skipFiles: true })
    world.env.SCAVIO_BASE_URL = 'http://127.0.0.1:1'
    await everyWay(watch, ['search', 'words'], { status: 8, skipFiles: true })
  } finally {
    await standIn.close()
    world.env.SCAVIO_BASE_URL = undefined
  }
}

/** Every mistake with a value, a key or a token. */
async function playMistakes(watch: Watch): Promise<void> {
  const { world } = watch
  const input = { stdin: GUESS, skipFiles: true }
  for (const argv of [
    ['store', 'name', GUESS],
    ['store', 'name', `--value=${GUESS}`],
    ['store', 'name', `--vlue=${GUESS}`],
    ['store', 'name', `--stdin=${GUESS}`],
    ['store', 'bad name', '--stdin'],
    ['store', 'scavio_api_key', '--stdin'],
    ['store', 'name', '--stdin', '--generate'],
    ['store', 'name', '--stdin', '--lock-timeout', 'x'],
    ['rotate', 'missing', '--stdin'],
    ['rotate', 'scavio_api_key', GUESS],
    ['token', 'revoke', '-'],
    ['token', 'show', '--token-file', '-'],
    ['token', 'narrow', '--tools', 'a', '--token-file', '-'],
    ['token', 'check', '--tool', 'a', '--token-file', '-'],
    ['search', 'words', '--token-file', '-'],
    ['search', 'words', GUESS],
    ['search', 'words', '--token', GUESS],
    ['search', 'words', `--tokne=${GUESS}`],
    [GUESS],
    ['token', GUESS],
    ['help', GUESS],
  ]) {
    await everyWay(watch, argv, input)
  }
  for (const stdin of [` ${GUESS}`, `${GUESS}\0`, `${GUESS}\n\n`, SECOND]) {
    await everyWay(watch, ['rotate', 'scavio_api_key', '--stdin'], { stdin, status: 2, skipFiles: true })
  }
  write(world, 'mine.guess', GUESS)
  write(world, 'mine.env', `MCP_ENCRYPTION_KEY=${GUESS}\n`)
  const env = { ...world.env }
  for (const wrong of [
    { MCP_ENCRYPTION_KEY: GUESS },
    { MCP_ENCRYPTION_KEY: OTHER_KEY },
    { MCP_ENCRYPTION_KEY: undefined, MCP_ENCRYPTION_KEY_FILE: 'mine.guess' },
    { MCP_ENCRYPTION_KEY: undefined, MCP_ENCRYPTION_KEY_COMMAND: JSON.stringify(['/bin/echo', GUESS]) },
    { MCP_ENCRYPTION_KEY: undefined, MCP_ENCRYPTION_KEY_COMMAND: `["/bin/echo", ${GUESS}` },
    { MCP_ENCRYPTION_KEY: undefined, MCP_ENCRYPTION_KEY_COMMAND: `/nowhere ${GUESS}` },
    { MCPVAULT_TOKEN: GUESS },
    { MCPVAULT_TOKEN: `mcpv_${GUESS}` },
  ]) {
    Object.assign(world.env, wrong)
    for (const argv of [
      ['load', 'name'],
      ['list'],
      ['token', 'show'],
      ['token', 'check', '--tool', 'x'],
      ['search', 'words'],
    ]) {
      await everyWay(watch, argv, { skipFiles: true })
    }
    for (const name of Object.keys(wrong)) world.env[name] = env[name]
  }
  await everyWay(watch, ['load', 'name', '--key-file', 'mine.guess'], { status: 5 })
  await everyWay(watch, ['load', 'name', '--env-file', 'mine.env'], { status: 5 })
  world.setTerminal(true)
  world.answers.push(GUESS, `${GUESS}x`)
  await watch.run(['store', 'typed'], { status: 2 })
  world.setTerminal(false)
}

/** Files that were damaged where secrets are, and those that hold secrets where they should not. */
async function playDamage(watch: Watch): Promise<void> {
  const { world } = watch
  for (const name of [VAULT, 'rotation_log.json', 'mcp_tokens.jsonl']) {
    const path = join(world.directory, name)
    const bytes = readFileSync(path)
    const middle = Math.floor(bytes.length / 2)
    const flipped = Buffer.from(bytes)
    flipped[middle] = (flipped[middle] ?? 0) ^ 1
    for (const content of [
      bytes.subarray(0, middle),
      flipped,
      Buffer.from(`{"x": ${JSON.stringify(GUESS)}`),
      Buffer.from(GUESS),
    ]) {
      writeFileSync(path, content)
      for (const argv of [
        ['load', 'scavio_api_key'],
        ['list'],
        ['log', 'verify'],
        ['token', 'list'],
        ['search', 'words'],
        ['rotation-due'],
      ]) {
        for (const flags of [[], ['--json', '--debug']])
          await watch.run([...argv, ...flags], { prints: argv[0] === 'load', skipFiles: true })
      }
    }
    writeFileSync(path, bytes)
  }
}

describe('a secret', () => {
  it.for([
    ['native', nativeWorld],
    ['tutorial', emptyTutorialWorld],
  ] as const)(
    'is in no output and no file of a %s vault, whatever is done well or badly',
    async ([format, makeWorld]) => {
      const watch = new Watch(await makeWorld())
      await playLife(watch, format === 'native')
      await playSearch(watch)
      await playMistakes(watch)
      await playDamage(watch)
      await watch.run(['token', 'revoke', '--all'], { status: 0 })
      await watch.run(['remove', 'from_file', '--yes'], { status: 0 })
      if (format === 'tutorial') await watch.run(['upgrade'], { status: 0 })
      await watch.run(['list', '--json'], { status: 0 })
      expect(watch.commands).toBeGreaterThan(500)
    },
  )

  it('is a key as well: init prints it only when it is told to, and keeps it in its file alone', async () => {
    const world = new TestWorld()
    const watch = new Watch(world)
    await watch.run(['init', '--vault', VAULT, '--key-file', 'mine.key'], { status: 0 })
    const key = readFileSync(join(world.directory, 'mine.key'), 'utf8').trim()
    watch.secrets.set('the new key', key)
    watch.secrets.set('the new key in hex', Buffer.from(key, 'base64url').toString('hex'))
    watch.lookAtFiles('init')
    await everyWay(watch, ['init', '--vault', VAULT, '--key-file', 'mine.key'], { status: 4 })
    world.setTerminal(true)
    world.answers.push(CANARY, CANARY)
    await watch.run(['init', '--vault', 'sub/locked.enc', '--passphrase'], { status: 0 })
    world.answers.push(GUESS)
    await watch.run(['load', 'x', '--vault', 'sub/locked.enc', '--debug'], { status: 5 })
  })
})

describe('the watch', () => {
  it('sees a secret in every form, wherever it was planted', async () => {
    for (const [name, form] of formsOf(CANARY)) {
      expect(findForms(Buffer.concat([Buffer.from('x'), form, Buffer.from('y')]), CANARY), name).toContain(name)
    }
    for (const shift of [0, 1, 2]) {
      const text = Buffer.from(`${'x'.repeat(shift)}${CANARY}and more`).toString('base64')
      expect(findForms(text, CANARY)).toContain(`base64 shifted by ${shift}`)
    }
    expect(findForms('nothing of it here', CANARY)).toEqual([])
    const watch = new Watch(await nativeWorld())
    await watch.run(['store', 'name', '--stdin'], { stdin: CANARY, status: 0 })
    await expect(watch.run(['load', 'name'])).rejects.toThrow(
      'the first value stands in stdout of mcpvault load name: raw',
    )
    await expect(watch.run(['load', 'name', '--json'])).rejects.toThrow('JSON')
    await expect(watch.run(['load', CANARY])).rejects.toThrow('stderr')
    write(watch.world, 'planted', Buffer.from(CANARY).toString('base64'))
    await expect(watch.run(['list'])).rejects.toThrow('planted after mcpvault list: base64 shifted by 0')
    rmSync(join(watch.world.directory, 'planted'))
    await watch.run(['list'])
  })
})
