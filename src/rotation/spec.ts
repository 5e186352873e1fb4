/**
 * The texts that say who makes a new value, who tries it, where it must be written and what runs afterwards:
 * `command:/usr/local/bin/new-key`, `http:@probe.json`, `json:.mcp.json#/mcpServers/scavio/env/KEY`.
 *
 * Grammar: `KIND` or `KIND:REST`. A CMD is a JSON array of strings or the path of one program; no shell ever sees it. A
 * relative FILE lies in the vault's directory. Whatever is read is written back in one canonical spelling.
 *
 * @module
 */

import { statSync } from 'node:fs'
import { VaultError } from '../errors.js'

/** A program and its arguments; never empty. */
export type Argv = readonly string[]

/** Who makes a new value; `manual` is a person. */
export type ProviderSpec =
  | { readonly kind: 'manual' }
  | { readonly kind: 'generate'; readonly length: number }
  | { readonly kind: 'command'; readonly argv: Argv }

/** Who tries a new value before it is used. */
export type ProbeSpec =
  | { readonly kind: 'scavio' }
  | { readonly kind: 'command'; readonly argv: Argv }
  | { readonly kind: 'http'; readonly file: string; readonly sha256?: string }

/** A place that must hold the current value. */
export type TargetSpec =
  | { readonly kind: 'json'; readonly file: string; readonly pointer: string }
  | { readonly kind: 'env'; readonly file: string; readonly name: string }
  | { readonly kind: 'file'; readonly file: string }

/** A program that runs after a promotion; it gets no secret. */
export type HookSpec = Argv

/** Longest text of a SPEC, in characters: policies lie in the vault's entries. */
export const MAX_SPEC_LENGTH = 4096

const SHORTEST_GENERATED = 16
const LONGEST_GENERATED = 4096

/** How many characters `generate` makes unless told. */
export const DEFAULT_GENERATED = 48

const PROVIDER_FORMS = ['manual', 'generate:48', 'command:CMD']
const PROBE_FORMS = ['scavio', 'command:CMD', 'http:@FILE']
const TARGET_FORMS = ['json:FILE#/path/to/member', 'env:FILE#NAME', 'file:FILE']
const CMD_FORMS = ['a command is the path of one program or a JSON array: \'["systemctl","reload","mcp-search"]\'']

/** Reads a provider: `manual`, `generate:48`, `command:CMD`. @throws {VaultError} USAGE, without repeating the text. */
export function parseProvider(text: string): ProviderSpec {
  const { kind, rest } = cut(text, { what: 'provider', forms: PROVIDER_FORMS })
  if (kind === 'manual' && rest === undefined) return { kind }
  if (kind === 'generate') return { kind, length: parseLength(rest) }
  if (kind === 'command' && rest !== undefined) return { kind, argv: parseArgv(rest, 'provider') }
  throw unknown('provider', PROVIDER_FORMS)
}

/**
 * Reads a probe: `scavio`, `command:CMD`, `http:@FILE`, or with the content that FILE must have `http:sha256:HEX@FILE`.
 *
 * @throws {VaultError} USAGE, without repeating the text.
 */
export function parseProbe(text: string): ProbeSpec {
  const { kind, rest } = cut(text, { what: 'probe', forms: PROBE_FORMS })
  if (kind === 'scavio' && rest === undefined) return { kind }
  if (kind === 'command' && rest !== undefined) return { kind, argv: parseArgv(rest, 'probe') }
  const [, sha256, file] = (kind === 'http' && /^(?:sha256:([0-9a-f]{64}))?@(.*)$/.exec(rest ?? '')) || []
  if (kind === 'http' && file !== undefined) {
    return { kind, file: parseFile(file, 'probe'), ...(sha256 === undefined ? {} : { sha256 }) }
  }
  throw unknown('probe', PROBE_FORMS)
}

/**
 * Reads a target: `json:FILE#/pointer` (RFC 6901), `env:FILE#NAME`, `file:FILE`.
 *
 * A FILE of `json:` ends at the first `#/`, one of `env:` at the last `#`.
 *
 * @throws {VaultError} USAGE, without repeating the text.
 */
export function parseTarget(text: string): TargetSpec {
  const { kind, rest } = cut(text, { what: 'target', forms: TARGET_FORMS })
  if (rest === undefined) throw unknown('target', TARGET_FORMS)
  if (kind === 'file') return { kind, file: parseFile(rest, 'target') }
  if (kind === 'env') {
    const at = rest.lastIndexOf('#')
    const name = rest.slice(at + 1)
    if (at === -1 || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      throw refuse('target', 'a target in a .env file ends with # and the name of a variable', TARGET_FORMS)
    }
    return { kind, file: parseFile(rest.slice(0, at), 'target'), name }
  }
  if (kind === 'json') {
    const at = rest.indexOf('#/')
    const pointer = rest.slice(at + 1)
    if (at === -1 || /~(?![01])/.test(pointer)) {
      throw refuse('target', 'a target in a JSON file ends with # and a JSON pointer (RFC 6901)', TARGET_FORMS)
    }
    return { kind, file: parseFile(rest.slice(0, at), 'target'), pointer }
  }
  throw unknown('target', TARGET_FORMS)
}

/** Reads a hook: a CMD. @throws {VaultError} USAGE, without repeating the text. */
export function parseHook(text: string): HookSpec {
  checkText(text, 'hook')
  return parseArgv(text, 'hook')
}

/** Writes a provider in its canonical spelling. */
export function formatProvider(spec: ProviderSpec): string {
  if (spec.kind === 'manual') return spec.kind
  return spec.kind === 'generate' ? `generate:${spec.length}` : `command:${formatArgv(spec.argv)}`
}

/** Writes a probe in its canonical spelling. */
export function formatProbe(spec: ProbeSpec): string {
  if (spec.kind === 'scavio') return spec.kind
  if (spec.kind === 'command') return `command:${formatArgv(spec.argv)}`
  return `http:${spec.sha256 === undefined ? '' : `sha256:${spec.sha256}`}@${spec.file}`
}

/** Writes a target in its canonical spelling. */
export function formatTarget(spec: TargetSpec): string {
  if (spec.kind === 'json') return `json:${spec.file}#${spec.pointer}`
  return spec.kind === 'env' ? `env:${spec.file}#${spec.name}` : `file:${spec.file}`
}

/** Writes a hook in its canonical spelling. */
export function formatHook(spec: HookSpec): string {
  return formatArgv(spec)
}

/** Cuts a JSON pointer into the names that it goes through (RFC 6901 section 4). */
export function pointerPath(pointer: string): readonly string[] {
  return pointer
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
}

interface Kind {
  readonly what: string
  readonly forms: readonly string[]
}

function cut(text: string, { what, forms }: Kind): { readonly kind: string; readonly rest: string | undefined } {
  checkText(text, what)
  const at = text.indexOf(':')
  const kind = at === -1 ? text : text.slice(0, at)
  const rest = at === -1 ? undefined : text.slice(at + 1)
  if (rest === '') throw refuse(what, 'nothing stands behind the colon', forms)
  return { kind, rest }
}

function checkText(text: string, what: string): void {
  if (text.length > MAX_SPEC_LENGTH) throw refuse(what, `it is longer than ${MAX_SPEC_LENGTH} characters`, [])
  if (/[\0\r\n]/.test(text)) throw refuse(what, 'it holds a line end or a NUL', [])
  if (!text.isWellFormed()) throw refuse(what, 'it is not well-formed Unicode', [])
}

function parseLength(text: string | undefined): number {
  if (text === undefined) return DEFAULT_GENERATED
  const length = /^[1-9]\d{0,3}$/.test(text) ? Number(text) : 0
  if (length < SHORTEST_GENERATED || length > LONGEST_GENERATED) {
    const reason = `a generated value has ${SHORTEST_GENERATED} to ${LONGEST_GENERATED} characters`
    throw refuse('provider', reason, PROVIDER_FORMS)
  }
  return length
}

function parseFile(text: string, what: string): string {
  if (text === '' || text.endsWith('/')) throw refuse(what, 'the name of the file is missing', [])
  return text
}

function parseArgv(text: string, what: string): Argv {
  if (!text.trimStart().startsWith('[')) {
    // Somebody who writes a shell line means its words apart; a program of that name is the rare case.
    const isLine = /["'|&;<>$`*?]/.test(text) || (/\s/.test(text) && !isFile(text))
    if (isLine || text === '') {
      throw refuse(what, 'the command looks like a shell line, and no shell runs here', CMD_FORMS)
    }
    return [text]
  }
  const argv = parseJson(text)
  const isArgv =
    Array.isArray(argv) && argv.length > 0 && argv.every((word) => typeof word === 'string' && !word.includes('\0'))
  if (!isArgv || argv[0] === '') throw refuse(what, 'the command is not a JSON array of strings', CMD_FORMS)
  return argv as Argv
}

/** What does not begin with a slash depends on where one is. */
function isFile(path: string): boolean {
  return path.startsWith('/') && statSync(path, { throwIfNoEntry: false })?.isFile() === true
}

function formatArgv(argv: Argv): string {
  const [program = '', ...rest] = argv
  return rest.length === 0 && /^[\w./+@%,=~-]+$/.test(program) ? program : JSON.stringify(argv)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // JSON.parse quotes its input, and people put passwords into arguments.
    return undefined
  }
}

function unknown(what: string, forms: readonly string[]): VaultError {
  return refuse(what, 'there is no such kind', forms)
}

/** The text itself is not repeated: people put passwords there. */
function refuse(what: string, reason: string, forms: readonly string[]): VaultError {
  const hints = forms === CMD_FORMS ? forms : forms.length > 0 ? [`a ${what} is ${forms.join(' or ')}`] : []
  return new VaultError('USAGE', `cannot use the ${what}: ${reason}`, { hints })
}
