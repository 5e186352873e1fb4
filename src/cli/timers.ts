/** Which timers run mcpvault on a vault: crontabs and systemd units. */

import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Context } from './context.js'
import { GLOBAL_FLAGS } from './flags.js'
import { VAULT_NAME } from './open-vault.js'

/** A line of a crontab or unit that starts mcpvault. */
export interface Timer {
  /** `crontab:3`, `/etc/cron.d/mcpvault:1`. */
  readonly where: string
  /** The subcommand: the line itself may hold what nobody should read. */
  readonly command: string
}

const MAX_BYTES = 1024 * 1024
const CRON_LIMITS = { timeoutMs: 5000, maxBytes: MAX_BYTES }

/** Which vault a timer is to be found for, and what a line means that names none. */
export interface TimerQuestion {
  /** Absolute paths of the vault: as it is called, and as it is. */
  readonly vaultPaths: readonly string[]
  /** What `~`, `$HOME` and systemd's `%h` stand for. */
  readonly home: string
  /** The vault that a command without a word on it finds, for lines of this user. */
  readonly defaultVault?: string | undefined
}

/** Finds the timers that run mcpvault on a vault, as far as this user can read them. */
export function findTimers(question: TimerQuestion, context: Context): readonly Timer[] {
  // What the system runs, runs as root or as whoever is named there.
  const ofAnybody = { ...question, home: '/root', defaultVault: undefined }
  const own = ownUnits(context)
  return [
    ...findInText(readCrontab(context), 'crontab', question),
    ...list(own, '.service').flatMap((path) => findInText(readQuietly(path), path, question)),
    ...timerFiles().flatMap((path) => findInText(readQuietly(path), path, ofAnybody)),
  ]
}

/** Finds the lines that start mcpvault on a vault; comments are none. */
export function findInText(text: string, where: string, question: TimerQuestion): readonly Timer[] {
  let [named, base]: (string | undefined)[] = []
  // A unit goes on behind a backslash at the end of a line.
  const lines = text.split(/\r?\n/)
  return lines.flatMap((first, index) => {
    let line = first
    for (let next = index + 1; line.endsWith('\\') && next < lines.length; next++)
      line = line.slice(0, -1) + lines[next]
    if (/^\s*[#;]/.test(line) || lines[index - 1]?.endsWith('\\')) return []
    const words = cutWords(line, question.home)
    const [program, rest] = findProgram(words)
    const before = words.slice(0, program)
    const assigned = before.flatMap((word) => /\bMCPVAULT_FILE=([^;]+)/.exec(word)?.[1] ?? []).at(-1)
    const moved = before.flatMap(
      (word, at) => /^WorkingDirectory=(.+)/.exec(word)?.[1] ?? (before[at - 1] === 'cd' ? word : []),
    )
    // crontabs and units set variables on lines of their own, which hold for those below.
    if (program === words.length) [named, base] = [assigned ?? named, moved.at(-1) ?? base]
    const directory = moved.at(-1)?.replace(/;$/, '') ?? base ?? question.home
    const { command, vault = assigned ?? named } = readArguments(rest)
    const places =
      vault === undefined
        ? [VAULT_NAME, ...(question.defaultVault === undefined ? [] : [question.defaultVault])]
        : [vault]
    const isMeant = places.some((place) => question.vaultPaths.includes(resolve(directory, place)))
    return command !== undefined && isMeant ? [{ where: `${where}:${index + 1}`, command }] : []
  })
}

/** Cuts a line into words as sh and systemd do; `\%` of crontabs and `%%` are a percent sign, `$$` is a dollar. */
function cutWords(line: string, home: string): readonly string[] {
  const plain = line.replaceAll('\\%', '%').replaceAll('%%', '%').replaceAll('$$', '$')
  const pieces = plain.match(/(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\])+/g) ?? []
  return pieces.map((piece) =>
    piece
      .replace(/'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)/g, (_, single?: string, double?: string, one?: string) => {
        return single ?? double?.replace(/\\(.)/g, '$1') ?? one ?? ''
      })
      .replace(/(^|=)(?:~(?=\/)|\$HOME\b|\$\{HOME\}|%h\b)/, (_, before: string) => `${before}${home}`),
  )
}

/** Finds the word that is mcpvault, and what it is given. */
function findProgram(words: readonly string[]): readonly [at: number, rest: readonly string[]] {
  const at = words.findIndex((word) => /(?:^|[/=])mcpvault(?:\.js)?$/.test(word))
  return at === -1 ? [words.length, []] : [at, words.slice(at + 1)]
}

const WITH_VALUE = new Set(GLOBAL_FLAGS.filter(({ value }) => value !== undefined).map(({ long }) => String(long)))

/** Reads the subcommand, global flags before it or not, and the vault that is named. */
function readArguments(words: readonly string[]): { readonly command?: string; readonly vault?: string } {
  let [command, vault]: (string | undefined)[] = []
  for (let at = 0; at < words.length; at++) {
    const [flag = '', inline] = words[at]?.split(/=(.*)/s) ?? []
    if (flag.startsWith('--')) {
      const value = inline ?? (WITH_VALUE.has(flag) ? words[++at] : undefined)
      if (flag === '--vault') vault = value
    } else if (/^[a-z][a-z-]*$/.test(flag)) command ??= flag
  }
  return { ...(command === undefined ? {} : { command }), ...(vault === undefined ? {} : { vault }) }
}

function readCrontab(context: Context): string {
  try {
    // "no crontab for me" is no news here.
    const { exitCode, stdout } = context.runProgram(['sh', '-c', 'exec crontab -l 2>/dev/null'], CRON_LIMITS)
    return exitCode === 0 ? stdout.toString('utf8') : ''
  } catch {
    // Without cron there is no crontab.
    return ''
  }
}

function ownUnits({ home, env }: Context): string {
  return join(env.XDG_CONFIG_HOME || join(home, '.config'), 'systemd/user')
}

function timerFiles(): readonly string[] {
  const units = ['/etc/systemd/user', '/etc/systemd/system'].flatMap((directory) => list(directory, '.service'))
  return ['/etc/crontab', ...list('/etc/cron.d', ''), ...units]
}

function list(directory: string, ending: string): readonly string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true })
    return entries
      .filter((entry) => (entry.isFile() || entry.isSymbolicLink()) && entry.name.endsWith(ending))
      .map((entry) => join(directory, entry.name))
      .sort()
  } catch {
    // Not there, or not for us to read.
    return []
  }
}

function readQuietly(path: string): string {
  try {
    const bytes = readFileSync(path)
    return bytes.length > MAX_BYTES ? '' : bytes.toString('utf8')
  } catch {
    return ''
  }
}
