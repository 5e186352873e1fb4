import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { VaultError } from '../errors.js'
import type { Context } from './context.js'
import { type NotesServer, startNotes } from './demo-notes.js'

const CALLS = 200
const CLIENTS = 8
const ROTATE_AT = 80
/** From here on, calls wait for the rotation: both versions get their share, however fast the machine is. */
const HOLD_AT = 150
const CALL_TIMEOUT_MS = 10_000
const MAX_ANSWER_BYTES = 64 * 1024
const PROTOCOL = '2026-07-28'

/** What a chapter needs of the story that it belongs to. */
export interface Teller {
  readonly folder: string
  makeUpKey(): string
  say(sentence: string): void
  /** Writes a line that no command has printed. */
  show(line: string): void
  /** Runs a command as a user would see it, and gives what it printed. `shown` follows the command line. */
  run(
    argv: readonly string[],
    step?: { readonly stdin?: string; readonly shown?: string; readonly world?: Partial<Context> },
  ): Promise<string>
}

/** Plays the gateway's chapter: an MCP server behind `serve`, a narrow token, and a rotation under load. */
export async function playGateway(teller: Teller): Promise<void> {
  const notes = await startNotes()
  try {
    const token = await setUp(teller, notes)
    const gateway = await startServe(teller)
    try {
      await useGateway({ teller, notes, agent: new Agent(gateway.port, token) })
    } finally {
      await gateway.stop()
    }
  } finally {
    await notes.close()
  }
}

async function setUp(teller: Teller, notes: NotesServer): Promise<string> {
  teller.say('An MCP server with two tools, which wants a key of its own')
  const key = teller.makeUpKey()
  notes.accepted.set(key, 1)
  await teller.run(['store', 'notes_key', '--stdin'], { stdin: key })
  teller.say(
    'mcpvault.json says where the key belongs, never what it is; a gateway uses it only as you have approved it',
  )
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is how a reference is written
  const headers = { Authorization: 'Bearer ${vault:notes_key}' }
  const config = JSON.stringify({ mcpServers: { notes: { url: notes.url, headers } } })
  writeFileSync(join(teller.folder, 'mcpvault.json'), `${config}\n`, { mode: 0o600 })
  await teller.run(['config', 'allow', '--yes'])
  teller.say('A token for one of the two tools, and the gateway')
  const scope = ['--tools', 'notes/read_note', '--ttl', '30m', '--label', 'demo-reader']
  return (await teller.run(['token', 'create', ...scope])).trim()
}

interface Running {
  readonly port: number
  stop(): Promise<void>
}

/** Runs `serve` until it is stopped as a signal would; its log goes to a file. */
async function startServe(teller: Teller): Promise<Running> {
  let stop = (): void => {}
  let listening = (_port: number): void => {}
  const port = new Promise<number>((resolve) => {
    listening = resolve
  })
  const writeLog = (text: string | Buffer): void => {
    appendFileSync(join(teller.folder, 'serve.log'), text, { mode: 0o600 })
    const found = /"port":(\d+)/.exec(text.toString())?.[1]
    if (found !== undefined) listening(Number(found))
  }
  const ended = teller.run(['serve', '--listen', '127.0.0.1:0'], {
    shown: ' 2>serve.log &',
    world: {
      stderr: { write: writeLog, isTerminal: false, columns: 80 },
      // Of its own: a Ctrl-C is for the demo as a whole.
      onSignal: (name, listener) => {
        if (name === 'SIGTERM') stop = listener
        return () => {}
      },
    },
  })
  const found = await Promise.race([port, ended])
  if (typeof found !== 'number') throw new VaultError('INTERNAL', 'the demo broke: "serve" has ended by itself')
  return {
    port: found,
    stop: async () => {
      stop()
      await ended
    },
  }
}

interface Scene {
  readonly teller: Teller
  readonly notes: NotesServer
  readonly agent: Agent
}

async function useGateway({ teller, notes, agent }: Scene): Promise<void> {
  teller.say('What an agent with this token sees of the server: the one tool')
  teller.show(`> tools/list\n${await agent.listTools()}`)
  teller.say('It reads a note. The gateway puts the key in for this one call; the agent never had it')
  teller.show(`> tools/call read_note\n${await agent.call('read_note')}`)
  teller.say('The other tool is refused, and the server is not even asked')
  notes.used.clear()
  teller.show(`> tools/call delete_note\n${await agent.call('delete_note')}`)
  if (notes.used.size > 0) throw new VaultError('INTERNAL', 'the demo broke: the server was asked')
  teller.say(`Rotate the key while ${CALLS} calls go on, ${CLIENTS} at a time`)
  await rotateUnderLoad({ teller, notes, agent })
  teller.say('The server has stopped taking the old key, and the agent notices nothing')
  for (const [key, version] of notes.accepted) if (version === 1) notes.accepted.delete(key)
  teller.show(`> tools/call read_note\n${await agent.call('read_note')}`)
}

async function rotateUnderLoad({ teller, notes, agent }: Scene): Promise<void> {
  const newKey = teller.makeUpKey()
  notes.accepted.set(newKey, 2)
  let begin = (): void => {}
  const rotated = new Promise<void>((resolve) => {
    begin = resolve
  }).then(() => teller.run(['rotate', 'notes_key', '--stdin', '--reason', 'demo'], { stdin: newKey }))
  let made = 0
  let failed = 0
  const client = async (): Promise<void> => {
    while (made < CALLS) {
      made += 1
      if (made === ROTATE_AT) begin()
      if (made > HOLD_AT) await rotated
      if (!(await agent.succeeds('read_note'))) failed += 1
    }
  }
  await Promise.all([rotated, ...Array.from({ length: CLIENTS }, client)])
  const shares = [...notes.used].map(([version, count]) => `${count} with version ${version}`)
  teller.show(`${made} calls, ${failed} failed: ${shares.join(', ')}`)
  if (failed === 0 && shares.length === 2) return
  throw new VaultError('INTERNAL', 'the demo broke: not every call went through, or only one version was used')
}

interface Result {
  readonly tools?: readonly { readonly name: string }[]
  readonly content?: readonly { readonly text: string }[]
  readonly isError?: boolean
}

/** An MCP client of the protocol without sessions. */
class Agent {
  readonly #url: URL
  readonly #token: string

  constructor(port: number, token: string) {
    this.#url = new URL(`http://127.0.0.1:${port}/mcp/notes`)
    this.#token = token
  }

  async listTools(): Promise<string> {
    const { tools = [] } = await this.#ask('tools/list', {})
    return tools.map(({ name }) => name).join('\n')
  }

  /** Gives the text of an answer, a refusal too. */
  async call(tool: string): Promise<string> {
    const { content = [] } = await this.#ask('tools/call', { name: tool, arguments: {} })
    return content.map(({ text }) => text).join('\n')
  }

  async succeeds(tool: string): Promise<boolean> {
    try {
      const { content, isError } = await this.#ask('tools/call', { name: tool, arguments: {} })
      return content !== undefined && isError !== true
    } catch {
      return false
    }
  }

  async #ask(method: string, given: { readonly name?: string; readonly arguments?: object }): Promise<Result> {
    const { postJson } = await import('../http.js')
    const meta = {
      'io.modelcontextprotocol/protocolVersion': PROTOCOL,
      'io.modelcontextprotocol/clientInfo': { name: 'mcpvault-demo', version: '1' },
      'io.modelcontextprotocol/clientCapabilities': {},
    }
    const { status, body } = await postJson(this.#url, {
      headers: {
        accept: 'application/json, text/event-stream',
        authorization: `Bearer ${this.#token}`,
        'mcp-protocol-version': PROTOCOL,
        'mcp-method': method,
        ...(given.name === undefined ? {} : { 'mcp-name': given.name }),
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { ...given, _meta: meta } }),
      timeoutMs: CALL_TIMEOUT_MS,
      maxBytes: MAX_ANSWER_BYTES,
    })
    const { result } = (status === 200 ? JSON.parse(body.toString('utf8')) : {}) as { readonly result?: Result }
    if (result !== undefined) return result
    throw new VaultError('INTERNAL', `the demo broke: the gateway answered "${method}" with status ${status}`)
  }
}
