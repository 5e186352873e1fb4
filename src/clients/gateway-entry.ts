/** A client's server as one of the gateway's: its definition with references, and what its client starts instead. */

import type { Launcher, EntryText, Move } from './rewrite.js'
import { filled } from './rewrite.js'
import { type ConfigPath, type ConfigText, type ConfigValue, isRecord } from './config-text.js'
import type { SurveyedServer } from './survey.js'

/** A server of `mcpvault.json`. */
export interface GatewayDefinition {
  readonly [name: string]: string | readonly string[] | { readonly [name: string]: string }
}

/** What a server would be in the gateway, or why it cannot be one of its servers. */
export type GatewayForm =
  | { readonly name: string; readonly definition: GatewayDefinition }
  | { readonly reason: string }

/** What the gateway does from now on. */
const TAKEN = new Set(['command', 'args', 'env', 'url', 'headers', 'http_headers', 'type'])
/** What says how the client treats the server, whoever stands behind it. */
const STAYS = new Set([
  ...['disabled', 'enabled', 'autoApprove', 'alwaysAllow', 'description', 'timeout', 'required', 'gallery', 'version'],
  ...['startup_timeout_sec', 'startup_timeout_ms', 'tool_timeout_sec', 'enabled_tools', 'disabled_tools'],
])
/** What is shorter could not be kept out of answers. */
const MIN_SECRET_BYTES = 8

/** Gives what a server of a client would be in the gateway. */
export function toGateway(
  { server, findings }: SurveyedServer,
  entry: ConfigValue | undefined,
  moves: readonly Move[],
): GatewayForm {
  const name = server.name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
  if (name === '' || !isRecord(entry)) return { reason: 'its name has no letter or digit that the gateway takes' }
  if (server.isWrapped) return { reason: 'it is started through mcpvault exec already' }
  if (moves.length < findings.length) return { reason: 'some of its secrets stay where they are' }
  const reason = refusalOfMembers(entry) ?? refusalOfMoves(moves) ?? refusalOfTexts(server, entry, moves)
  return reason === undefined ? { name, definition: define(entry, moves) } : { reason }
}

function refusalOfMembers(entry: { readonly [name: string]: ConfigValue }): string | undefined {
  const other = Object.keys(entry).find((member) => !TAKEN.has(member) && !STAYS.has(member))
  if (other !== undefined) return `its member "${other}" has no place in mcpvault.json`
  if (![undefined, 'stdio', 'http', 'streamable-http'].includes(entry.type as string | undefined)) {
    return 'the gateway does not speak its type of transport'
  }
  if (entry.headers !== undefined && entry.http_headers !== undefined) return 'it has headers in two places'
  const named = [entry.env, entry.headers, entry.http_headers]
  // What reads mcpvault.json takes no member of that name.
  if (named.some((value) => isRecord(value) && Object.hasOwn(value, '__proto__'))) return 'a name in it is "__proto__"'
  const texts = named.flatMap((value) => membersOf(value))
  if (entry.args !== undefined && !Array.isArray(entry.args)) return 'its arguments are no list'
  const all = [...texts, ...(Array.isArray(entry.args) ? entry.args : [])]
  return all.every((text) => typeof text === 'string') ? undefined : 'a value in it is no text'
}

/** What is no object counts as a value that is no text. */
function membersOf(value: ConfigValue | undefined): readonly ConfigValue[] {
  if (value === undefined) return []
  return isRecord(value) ? Object.values(value) : [null]
}

function refusalOfMoves(moves: readonly Move[]): string | undefined {
  const kinds = new Set(moves.map(({ finding }) => finding.field.kind))
  if (kinds.has('argument')) {
    return 'the gateway takes no references in arguments, which other users can read'
  }
  if (kinds.has('url')) return 'the gateway takes no references in addresses, which end up in logs'
  if (moves.some(({ finding }) => Buffer.byteLength(finding.value) < MIN_SECRET_BYTES)) {
    return `a secret in it is shorter than ${MIN_SECRET_BYTES} bytes, which the gateway could not keep out of answers`
  }
  const odd = moves.find(({ credential }) => /[}]/.test(credential) || credential.length > 256)
  return odd && 'the name of its credential cannot stand in a reference'
}

/** What the client would have filled in, the gateway would not. */
function refusalOfTexts(
  { fields }: SurveyedServer['server'],
  { command = '' }: { readonly [name: string]: ConfigValue },
  moves: readonly Move[],
): string | undefined {
  const blanked = new Map(filled(moves, () => '\0').map(([, text, path]) => [JSON.stringify(path), text]))
  const texts = [String(command), ...fields.map(({ path, text }) => blanked.get(JSON.stringify(path)) ?? text)]
  return texts.some((text) => text.includes('${')) ? 'it has references that its client fills in' : undefined
}

function define(entry: { readonly [name: string]: ConfigValue }, moves: readonly Move[]): GatewayDefinition {
  const texts = new Map(
    filled(moves, ({ credential }) => `\${vault:${credential}}`).map(([, text, path]) => [JSON.stringify(path), text]),
  )
  const fill = (member: string): Record<string, string> => {
    const value = entry[member]
    const pairs = isRecord(value) ? Object.entries(value) : []
    return Object.fromEntries(
      pairs.map(([name, text]) => [name, texts.get(JSON.stringify([member, name])) ?? String(text)]),
    )
  }
  if (typeof entry.command === 'string') {
    const args = Array.isArray(entry.args) ? { args: entry.args.map(String) } : {}
    return { command: entry.command, ...args, env: fill('env') }
  }
  return { url: String(entry.url), headers: fill(entry.headers === undefined ? 'http_headers' : 'headers') }
}

/** Rewrites an entry so that its client starts `mcpvault connect NAME`. */
export function connectEntry({ text, path }: EntryText, name: string, launcher: Launcher): ConfigText {
  const args = [...launcher.args, 'connect', ...launcher.flags, name]
  const typed = text.get([...path, 'type']) === undefined ? text : text.set([...path, 'type'], 'stdio')
  const started = typed.set([...path, 'command'], launcher.command).set([...path, 'args'], args)
  const gone = ['env', 'url', 'headers', 'http_headers'].map((member) => [...path, member])
  return gone.reduce(removeWhole, started)
}

/** A TOML table with a header of its own is emptied: the header may stand anywhere. */
function removeWhole(text: ConfigText, path: ConfigPath): ConfigText {
  const value = text.get(path)
  if (value === undefined) return text
  if (text.spanOf(path) !== undefined || !isRecord(value)) return text.remove(path)
  return Object.keys(value).reduce((done, name) => removeWhole(done, [...path, name]), text)
}
