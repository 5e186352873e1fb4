/** Which timers run mcpvault on a vault: crontabs and systemd units. */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Context } from './context.js'

/** A line of a crontab or unit that starts mcpvault. */
export interface Timer {
  /** `crontab:3`, `/etc/cron.d/mcpvault:1`. */
  readonly where: string
  /** The subcommand: the line itself may hold what nobody should read. */
  readonly command: string
}

const MAX_BYTES = 1024 * 1024
const CRON_LIMITS = { timeoutMs: 5000, maxBytes: MAX_BYTES }

/** Finds the timers that name a vault, as far as this user can read them. */
export function findTimers(vaultPaths: readonly string[], context: Context): readonly Timer[] {
  return [
    ...findInText(readCrontab(context), 'crontab', vaultPaths),
    ...timerFiles(context).flatMap((path) => findInText(readQuietly(path), path, vaultPaths)),
  ]
}

/** Finds the lines that start mcpvault on a vault; comments are none. */
export function findInText(text: string, where: string, vaultPaths: readonly string[]): readonly Timer[] {
  return text.split(/\r?\n/).flatMap((line, index) => {
    if (/^\s*[#;]/.test(line)) return []
    // As cron and systemd read it: `\%` and `%%` are a percent sign, `$$` is a dollar.
    const read = line.replaceAll('\\%', '%').replaceAll('%%', '%').replaceAll('$$', '$')
    const command = /mcpvault(?:\.js)?["']?\s+([a-z][a-z-]*)/.exec(read)?.[1]
    const isNamed = vaultPaths.some((path) => read.includes(path) || read.includes(path.replaceAll("'", `'\\''`)))
    return command !== undefined && isNamed ? [{ where: `${where}:${index + 1}`, command }] : []
  })
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

function timerFiles({ home, env }: Context): readonly string[] {
  const config = env.XDG_CONFIG_HOME || join(home, '.config')
  const units = [join(config, 'systemd/user'), '/etc/systemd/user', '/etc/systemd/system'].flatMap((directory) =>
    list(directory).filter((path) => path.endsWith('.service')),
  )
  return ['/etc/crontab', ...list('/etc/cron.d'), ...units]
}

function list(directory: string): readonly string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true })
    return entries
      .filter((entry) => entry.isFile() || entry.isSymbolicLink())
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
