import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { DAY_SECONDS } from '../../duration.js'
import { VaultError } from '../../errors.js'
import { type StandIn, startStandIn } from '../../search/stand-in.js'
import { addCommand } from '../command.js'
import type { Context, Input } from '../context.js'
import { playGateway } from '../demo-gateway.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { shellWord } from '../../shell-word.js'

const DEMO: CommandShape<GlobalOptions> = {
  name: 'demo',
  examples: [['see the whole story on this machine, without a key of yours', 'mcpvault demo']],
}

/** Registers `demo`. */
export function addDemoCommand(parent: Command, context: Context, run = runDemo): void {
  addCommand(parent, DEMO, (options) => run(options, context))
}

/** Plays the whole story with real commands in a temporary folder, against a stand-in for the search API on loopback. */
export async function runDemo(options: GlobalOptions, context: Context): Promise<void> {
  if (options.json) throw new VaultError('USAGE', 'demo tells a story; it has no JSON')
  const folder = mkdtempSync(join(tmpdir(), 'mcpvault-demo-'))
  const accepted = new Set<string>()
  let standIn: StandIn | undefined
  try {
    standIn = await startStandIn({ accepts: (apiKey) => accepted.has(apiKey) })
    await new Story(context, { folder, accepted, baseUrl: standIn.baseUrl }).play()
  } finally {
    await standIn?.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

interface Stage {
  readonly folder: string
  /** The keys that the stand-in takes: what a person would change at the provider. */
  readonly accepted: Set<string>
  readonly baseUrl: string
}

/** One run of a command within the story. */
interface Step {
  readonly stdin?: string
  readonly env?: Readonly<Record<string, string>>
  /** The exit status that the story expects; 0 unless told. */
  readonly status?: number
  readonly days?: number
  /** What stands behind the command line. */
  readonly shown?: string
  /** What is not as everywhere else. */
  readonly world?: Partial<Context>
}

class Story {
  readonly #context: Context
  readonly #stage: Stage

  constructor(context: Context, stage: Stage) {
    this.#context = context
    this.#stage = stage
  }

  async play(): Promise<void> {
    const { accepted } = this.#stage
    const oldKey = this.#makeUpKey()
    const newKey = this.#makeUpKey()
    this.#say('A vault, with a key that only this folder knows')
    await this.#run(['init', '--vault', 'mcp_credentials.enc'])
    this.#say('Keep an API key: it comes on stdin, never as an argument, and is encrypted before it touches the disk')
    accepted.add(oldKey)
    await this.#run(['store', 'scavio_api_key', '--stdin'], { stdin: oldKey })
    this.#say('Load it again, as a script would')
    await this.#run(['load', 'scavio_api_key'])
    this.#say('Give an agent a token instead of the key: one tool, half an hour')
    const token = await this.#run(['token', 'create', '--tools', 'web_search', '--ttl', '30m', '--label', 'demo-agent'])
    const asAgent = { env: { MCPVAULT_TOKEN: token.trim() } }
    this.#say('Search with the token: the key is loaded for this one request and never shown')
    await this.#run(['search', 'model context protocol'], asAgent)
    this.#say('Rotate the key. Its old value stays loadable for the grace, so that nothing breaks meanwhile')
    accepted.add(newKey)
    await this.#run(['rotate', 'scavio_api_key', '--stdin', '--reason', 'demo'], { stdin: newKey })
    this.#say('The same token now reaches the new key; the provider has stopped taking the old one')
    accepted.delete(oldKey)
    await this.#run(['search', 'model context protocol', '-n', '1'], asAgent)
    this.#say('So its old value can go for good: say that it was revoked, and nothing asks for it later')
    await this.#run(['rotate', 'scavio_api_key', '--retired'])
    this.#say(
      'A key with a typo: the probe, one real search, refuses it. It is wiped, and the old key stays live (exit 8)',
    )
    const typo = this.#makeUpKey()
    await this.#run(['rotate', 'scavio_api_key', '--stdin', '--verify', 'scavio'], { stdin: typo, status: 8 })
    await this.#run(['search', 'model context protocol', '-n', '1'], asAgent)
    this.#say('Without a probe a bad key goes live, and the next search fails. One command brings the good one back')
    await this.#run(['rotate', 'scavio_api_key', '--stdin'], { stdin: typo })
    await this.#run(['search', 'model context protocol', '-n', '1'], { ...asAgent, status: 8 })
    await this.#run(['rollback', 'scavio_api_key', '--reason', 'refused'])
    await this.#run(['search', 'model context protocol', '-n', '1'], asAgent)
    this.#say('Ask what is due: nothing today (exit 1), the key in 31 days (exit 0)')
    await this.#run(['rotation-due'], { status: 1 })
    await this.#run(['rotation-due'], { days: 31 })
    await playGateway({
      folder: this.#stage.folder,
      makeUpKey: () => this.#makeUpKey(),
      say: (sentence) => this.#say(sentence),
      show: (line) => this.#context.stdout.write(`${line}\n`),
      run: (argv, step) => this.#run(argv, step),
    })
    this.#say('Revoke the token: the very next request is refused (exit 4)')
    await this.#run(['token', 'revoke', 'demo-agent'])
    await this.#run(['search', 'model context protocol'], { ...asAgent, status: 4 })
    this.#say('Everything that happened to the key stands in a log whose records are chained')
    await this.#run(['history', 'scavio_api_key'])
    await this.#run(['log', 'verify'])
    this.#say('That was all; the temporary folder is gone')
  }

  #makeUpKey(): string {
    return `sk_demo_${this.#context.randomBytes(12).toString('hex')}`
  }

  #say(sentence: string): void {
    this.#context.stdout.write(`\n# ${sentence}\n`)
  }

  /** Runs a command as a user would see it and gives what it printed. */
  async #run(argv: readonly string[], step: Step = {}): Promise<string> {
    const { main } = await import('../main.js')
    const { stdout } = this.#context
    stdout.write(`$ mcpvault ${argv.map(shellWord).join(' ')}${step.shown ?? ''}\n`)
    let printed = ''
    const tee = (text: string | Buffer): void => {
      printed += text.toString()
      stdout.write(text)
    }
    const status = await main(argv, this.#contextOf(step, tee))
    if (status === (step.status ?? 0)) return printed
    throw new VaultError('INTERNAL', `the demo broke: "${argv[0]}" gave exit status ${status}`)
  }

  #contextOf(step: Step, write: (text: string | Buffer) => void): Context {
    const { folder, baseUrl } = this.#stage
    const { host, stdout, stderr, prompt, keychain } = this.#context
    const { PATH, NO_COLOR, FORCE_COLOR, TERM } = this.#context.env
    const terminal = { PATH, NO_COLOR, FORCE_COLOR, TERM }
    return {
      stdin: stdinOf(step.stdin),
      stdout: { write, isTerminal: stdout.isTerminal, columns: stdout.columns },
      // On stdout too, so that the story can be read through a pipe.
      stderr: { write: (text) => stdout.write(text), isTerminal: stderr.isTerminal, columns: stderr.columns },
      prompt,
      keychain,
      env: { ...terminal, SCAVIO_BASE_URL: baseUrl, ...step.env },
      cwd: folder,
      home: folder,
      host,
      now: () => this.#context.now() + (step.days ?? 0) * DAY_SECONDS * 1000,
      randomBytes: (length) => this.#context.randomBytes(length),
      onSignal: (name, listener) => this.#context.onSignal(name, listener),
      readDescriptor: (fd, maxBytes) => this.#context.readDescriptor(fd, maxBytes),
      runProgram: (program, limits) => this.#context.runProgram(program, limits),
      guardGroup: (start) => this.#context.guardGroup(start),
      whenEnded: (listener) => this.#context.whenEnded(listener),
      ...step.world,
    }
  }
}

function stdinOf(text: string | undefined): Input {
  return {
    isTerminal: false,
    chunks: async function* () {
      if (text !== undefined) yield Buffer.from(text)
    },
    readAll: async () => {
      if (text === undefined) throw new VaultError('INPUT', 'cannot read stdin: it is closed')
      return Buffer.from(`${text}\n`)
    },
  }
}
