import { VaultError } from '../errors.js'
import { shellWord } from '../vault/name.js'
import type { ConfigPath, ConfigText } from './config-text.js'
import type { SecretFinding } from './find-secrets.js'
import { CLIENT_TITLES, type ClientName } from './locations.js'
import type { ServerEntry } from './server-entry.js'

/** A secret that goes, and the credential that comes. */
export interface Move {
  readonly finding: SecretFinding
  readonly credential: string
  /** The variable that a client is to have the value in, where it takes references to variables. */
  readonly variable: string
}

/** How mcpvault is started from a config. */
export interface Launcher {
  readonly command: string
  /** What stands before the subcommand: the script, where `command` is Node. */
  readonly args: readonly string[]
  /** The flags that name the vault and its key, where they are not found without. */
  readonly flags: readonly string[]
}

/** How an entry refers to its secrets from now on. */
export type EntryForm = 'exec' | 'headersHelper' | 'variables' | 'connect'

/** An entry being rewritten: a text, and where the entry stands in it. */
export interface EntryText {
  readonly text: ConfigText
  readonly path: ConfigPath
}

/** A rewritten entry. */
export interface RewrittenEntry {
  readonly text: ConfigText
  readonly form: EntryForm
  /** Variables that the client must be started with, and the credential of each. */
  readonly variables: ReadonlyMap<string, string>
}

/** The reference to a credential in an argument or header. */
export function vaultReference(credential: string): string {
  return `{{ vault "${credential}" }}`
}

/** Tells why the secrets of a server cannot be replaced in the config of a client; undefined when they can. */
export function refusalOf(
  server: ServerEntry,
  findings: readonly SecretFinding[],
  client: ClientName | undefined,
): string | undefined {
  if (findings.some(({ value }) => value.includes('\0') || !value.isWellFormed() || value.length > 250_000)) {
    return 'a secret in it is no text that a program could be given'
  }
  if (server.transport === 'unknown') return 'it has neither a command nor a URL'
  if (server.transport === 'stdio') return refusalOfCommand(server, findings)
  if (findings.some(({ field }) => field.kind === 'env' || field.kind === 'argument')) {
    return 'it has a URL and variables or arguments of a command, so that nobody can tell which counts'
  }
  if (client === undefined) return 'nobody can tell whose config it is: say --client NAME'
  if (client === 'claude-desktop') return 'Claude Desktop calls no servers by URL from this file'
  if (client === 'codex' && findings.some(({ field }) => field.kind === 'url')) {
    return 'Codex knows no references within a URL'
  }
  return undefined
}

function refusalOfCommand(server: ServerEntry, findings: readonly SecretFinding[]): string | undefined {
  if (findings.some(({ field }) => field.kind === 'header' || field.kind === 'url')) {
    return 'it has a command and a URL or headers, so that nobody can tell which counts'
  }
  const odd = findings.find(({ field }) => field.kind === 'env' && !/^[A-Za-z_][A-Za-z0-9_]*$/.test(field.name))
  if (odd !== undefined) return 'a variable has a name that programs cannot be given'
  const fills = findings.some(({ field }) => field.kind === 'argument')
  const isTemplate = server.fields.some(({ kind, text }) => kind === 'argument' && /\{\{/.test(text))
  return fills && isTemplate && !server.isWrapped
    ? 'an argument has the form of a reference to a vault already'
    : undefined
}

/**
 * Rewrites an entry to the form that its client supports.
 *
 * @throws {VaultError} INPUT if a value cannot be edited in place.
 */
export function rewriteEntry(
  entry: EntryText,
  {
    server,
    client,
    moves,
  }: { readonly server: ServerEntry; readonly client: ClientName | undefined; readonly moves: readonly Move[] },
  launcher: Launcher,
): RewrittenEntry {
  if (server.transport === 'stdio')
    return { text: wrapCommand(entry, moves, launcher), form: 'exec', variables: new Map() }
  const hasHelper = entry.text.get([...entry.path, 'headersHelper']) !== undefined
  const helped =
    client === 'claude-code' && !hasHelper ? moves.filter(({ finding }) => finding.field.kind === 'header') : []
  const others = moves.filter((move) => !helped.includes(move))
  const text = helped.length === 0 ? entry.text : addHeadersHelper(entry, helped, launcher)
  const referred = referToVariables({ text, path: entry.path }, others, client)
  return {
    text: referred,
    form: others.length === 0 ? 'headersHelper' : 'variables',
    variables: new Map(others.map(({ variable, credential }) => [variable, credential])),
  }
}

/** `mcpvault exec -e NAME=credential -- command args…`, the variables gone from `env`. */
function wrapCommand({ text, path }: EntryText, moves: readonly Move[], launcher: Launcher): ConfigText {
  const command = text.get([...path, 'command'])
  if (typeof command !== 'string') throw new VaultError('INTERNAL', 'cannot wrap an entry without a command')
  const variables = moves.filter(({ finding }) => finding.field.kind === 'env')
  const inArguments = moves.filter(({ finding }) => finding.field.kind === 'argument')
  const pairs = variables.flatMap(({ finding, credential }) => ['-e', `${finding.field.name}=${credential}`])
  const fill = inArguments.length > 0 ? ['--fill-args'] : []
  let result = replaceTexts({ text, path }, inArguments, ({ credential }) => vaultReference(credential))
  const args = result.get([...path, 'args'])
  const old = Array.isArray(args) ? args.map(String) : []
  const inner = isOurs(command, launcher) ? old.indexOf('--') : -1
  if (inner > 0 && old.slice(0, inner).includes('exec')) {
    // One wrapping is enough for what was found later.
    const missing = fill.filter((flag) => !old.slice(0, inner).includes(flag))
    result = insertAll({ text: result, path }, inner, [...missing, ...pairs])
  } else {
    const words = [...launcher.args, 'exec', ...launcher.flags, ...fill, ...pairs, '--', command]
    result = Array.isArray(args) ? insertAll({ text: result, path }, 0, words) : result.set([...path, 'args'], words)
    result = result.set([...path, 'command'], launcher.command)
  }
  return variables.reduce((done, { finding }) => done.remove([...path, ...finding.field.path]), result)
}

function isOurs(command: string, launcher: Launcher): boolean {
  return command === launcher.command || /(?:^|\/)mcpvault(?:\.js)?$/.test(command)
}

function insertAll({ text, path }: EntryText, at: number, words: readonly string[]): ConfigText {
  return words.reduce((done, word, index) => done.insert([...path, 'args', at + index], word), text)
}

/** Claude Code runs it in a shell and takes its JSON for headers. */
function addHeadersHelper({ text, path }: EntryText, moves: readonly Move[], launcher: Launcher): ConfigText {
  const headers = new Map<string, string>()
  for (const [name, texts] of filled(moves, ({ credential }) => vaultReference(credential))) headers.set(name, texts)
  const words = [launcher.command, ...launcher.args, 'headers', ...launcher.flags]
  for (const [name, template] of headers) words.push('--header', `${name}: ${template}`)
  const helped = text.set([...path, 'headersHelper'], words.map(shellWord).join(' '))
  return moves.reduce((done, { finding }) => {
    const place = [...path, ...finding.field.path]
    return done.get(place) === undefined ? done : done.remove(place)
  }, helped)
}

function referToVariables(entry: EntryText, moves: readonly Move[], client: ClientName | undefined): ConfigText {
  if (client === 'codex') return referInCodex(entry, moves)
  return replaceTexts(entry, moves, ({ variable }) =>
    client === 'claude-code' ? `\${${variable}}` : `\${env:${variable}}`,
  )
}

/** Codex takes whole headers from variables, and a bearer token by a member of its own. */
function referInCodex({ text, path }: EntryText, moves: readonly Move[]): ConfigText {
  return moves.reduce((done, { finding, variable }) => {
    const { field } = finding
    const isBearer =
      field.name.toLowerCase() === 'authorization' &&
      /^Bearer $/.test(field.text.slice(0, finding.start)) &&
      done.get([...path, 'bearer_token_env_var']) === undefined
    const place = isBearer ? ['bearer_token_env_var'] : ['env_http_headers', field.name]
    return done.set([...path, ...place], variable).remove([...path, ...field.path])
  }, text)
}

/**
 * Widens a finding to all of its field where the client has no references within a text: in Codex, a header that is not
 * `Authorization: Bearer …`.
 */
export function widenFinding(finding: SecretFinding, client: ClientName | undefined): SecretFinding {
  const { field } = finding
  if (client !== 'codex' || field.kind !== 'header') return finding
  const isBearer = field.name.toLowerCase() === 'authorization' && field.text.slice(0, finding.start) === 'Bearer '
  return isBearer ? finding : { ...finding, start: 0, end: field.text.length, value: field.text }
}

function replaceTexts(
  { text, path }: EntryText,
  moves: readonly Move[],
  reference: (move: Move) => string,
): ConfigText {
  let done = text
  for (const [, filledText, place] of filled(moves, reference)) done = done.set([...path, ...place], filledText)
  return done
}

/** Each field that has secrets, its text with references in their places. */
export function filled(
  moves: readonly Move[],
  reference: (move: Move) => string,
): readonly (readonly [name: string, text: string, path: ConfigPath])[] {
  const fields = [...new Set(moves.map(({ finding }) => finding.field))]
  return fields.map((field) => {
    const own = moves.filter(({ finding }) => finding.field === field).sort((a, b) => b.finding.start - a.finding.start)
    const text = own.reduce((before, move) => {
      return before.slice(0, move.finding.start) + reference(move) + before.slice(move.finding.end)
    }, field.text)
    return [field.name, text, field.path] as const
  })
}

/** How to start a client so that it has the variables that its config refers to. */
export function startCommand(client: ClientName, variables: ReadonlyMap<string, string>): string {
  const program = {
    'claude-code': 'claude',
    'claude-desktop': 'claude-desktop',
    cursor: 'cursor',
    vscode: 'code',
    codex: 'codex',
  }[client]
  const pairs = [...variables].map(([variable, credential]) => `-e ${variable}=${credential}`)
  return `mcpvault exec ${pairs.join(' ')} -- ${program}`
}

/** The sentence that goes with {@link startCommand}. */
export function startAdvice(client: ClientName, variables: ReadonlyMap<string, string>): string {
  return `start ${CLIENT_TITLES[client]} with its variables: ${startCommand(client, variables)}`
}
