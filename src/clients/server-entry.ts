import { type ConfigPath, type ConfigText, type ConfigValue, isRecord, valueAt } from './config-text.js'
import type { ClientName } from './locations.js'

/** One server of a config. */
export interface ServerEntry {
  readonly name: string
  /** The way to its entry. */
  readonly path: ConfigPath
  /** `stdio` is started by the client, `http` is called by it; anything else is left alone. */
  readonly transport: 'stdio' | 'http' | 'unknown'
  /** Whether it is started through `mcpvault exec` already. */
  readonly isWrapped: boolean
  readonly fields: readonly ServerField[]
}

/** A text of a server's entry that may hold a secret. */
export interface ServerField {
  readonly kind: 'env' | 'header' | 'argument' | 'url'
  /** The variable or header; `url`; the number of an argument, from 1. */
  readonly name: string
  /** From the entry. */
  readonly path: ConfigPath
  readonly text: string
}

/** Where servers stand in the configs of the clients. `*` is any member: Claude Code keeps some by project. */
const ROOTS: readonly (readonly string[])[] = [
  ['mcpServers'],
  ['projects', '*', 'mcpServers'],
  ['servers'],
  ['mcp', 'servers'],
  ['mcp_servers'],
]

const HEADER_MEMBERS = ['headers', 'http_headers']

/** Lists the servers of a config, in its order. */
export function readServers(config: ConfigText): readonly ServerEntry[] {
  return ROOTS.flatMap((root) => expand(config.value, root)).flatMap((path) => {
    const servers = config.get(path)
    if (!isRecord(servers)) return []
    return Object.entries(servers).flatMap(([name, value]) => {
      return isRecord(value) ? [readServer(name, [...path, name], value)] : []
    })
  })
}

/** Tells by what stands in it whose config a text is; undefined where several clients have the same form. */
export function clientOfContent(config: ConfigText): ClientName | undefined {
  if (config.get(['mcp_servers']) !== undefined) return 'codex'
  if (config.get(['servers']) !== undefined || config.get(['mcp', 'servers']) !== undefined) return 'vscode'
  return config.get(['projects']) === undefined ? undefined : 'claude-code'
}

function expand(value: ConfigValue, root: readonly string[]): readonly ConfigPath[] {
  let paths: ConfigPath[] = [[]]
  for (const part of root) {
    paths = paths.flatMap((path) => {
      if (part !== '*') return [[...path, part]]
      const members = valueAt(value, path)
      return isRecord(members) ? Object.keys(members).map((name) => [...path, name]) : []
    })
  }
  return paths
}

function readServer(name: string, path: ConfigPath, value: { readonly [name: string]: ConfigValue }): ServerEntry {
  const transport = typeof value.command === 'string' ? 'stdio' : typeof value.url === 'string' ? 'http' : 'unknown'
  const fields: ServerField[] = []
  for (const [variable, text] of textsOf(value.env)) {
    fields.push({ kind: 'env', name: variable, path: ['env', variable], text })
  }
  for (const member of HEADER_MEMBERS) {
    for (const [header, text] of textsOf(value[member])) {
      fields.push({ kind: 'header', name: header, path: [member, header], text })
    }
  }
  const first = firstForeign(value)
  if (Array.isArray(value.args)) {
    value.args.forEach((text: ConfigValue, index) => {
      if (typeof text === 'string' && index >= first) {
        fields.push({ kind: 'argument', name: String(index + 1), path: ['args', index], text })
      }
    })
  }
  if (typeof value.url === 'string') fields.push({ kind: 'url', name: 'url', path: ['url'], text: value.url })
  return { name, path, transport, isWrapped: first > 0, fields }
}

/** Behind `mcpvault exec … --` stands what was there before; in front of it no secret, only names. */
function firstForeign({ command = null, args }: { readonly [name: string]: ConfigValue }): number {
  const words = [command, ...(Array.isArray(args) ? args : [])]
  const exec = words.indexOf('exec')
  const isOurs = exec > 0 && exec < 3 && /(?:^|\/)mcpvault(?:\.js)?$/.test(String(words[exec - 1]))
  return isOurs ? Math.max(0, words.indexOf('--', exec)) : 0
}

function textsOf(value: ConfigValue | undefined): readonly (readonly [string, string])[] {
  if (!isRecord(value)) return []
  return Object.entries(value).flatMap(([name, text]) => (typeof text === 'string' ? [[name, text] as const] : []))
}
