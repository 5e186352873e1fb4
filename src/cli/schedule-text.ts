/** The texts of a crontab and of systemd units. Pure: words and a rhythm in, text out. */

import { VaultError } from '../errors.js'
import { formatDuration } from '../duration.js'
import { shellWord } from '../vault/name.js'

/** What a timer is to run. */
export interface TimedCommand {
  /** The name of the units, and what the comments say it does. */
  readonly unit: string
  readonly summary: string
  /** Absolute paths of node and mcpvault, then the arguments. */
  readonly argv: readonly string[]
  readonly environment: Readonly<Record<string, string>>
}

/** How often, as crontabs can say it. */
export interface Rhythm {
  readonly everySeconds: number
  /** Chosen once: what all machines do at the full hour, no server likes. */
  readonly minute: number
  readonly hour: number
}

const MINUTE = 60
const HOUR = 3600
const DAY = 86_400
const WEEK = 7 * DAY
const MINUTE_STEPS = [1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30]
const HOUR_STEPS = [1, 2, 3, 4, 6, 8, 12]
const SHARE_OF_DELAY = 12
const LONGEST_DELAY = HOUR
/** Of the command of a line, in bytes: MAX_COMMAND of Vixie's cron, which Debian and most others have, less two. */
const LONGEST_CRON_COMMAND = 998

/** Holds that a crontab can say it: a span that divides an hour or a day, a day, a week. @throws {VaultError} USAGE */
export function checkEvery(everySeconds: number): number {
  const steps = [...MINUTE_STEPS.map((n) => n * MINUTE), ...HOUR_STEPS.map((n) => n * HOUR), DAY, WEEK]
  if (steps.includes(everySeconds)) return everySeconds
  throw new VaultError('USAGE', `cannot schedule something every ${formatDuration(everySeconds)}`, {
    hints: [`the choices are ${steps.map(formatDuration).join(' ')}`],
  })
}

/**
 * Writes a comment and one line of a crontab (crontab(5)).
 *
 * @throws {VaultError} INPUT for a word that no crontab can hold, and for a line that is too long for one.
 */
export function formatCron(command: TimedCommand, rhythm: Rhythm): string {
  const variables = Object.entries(command.environment).map(
    ([name, value]) => `export ${cronWord(`${name}=${value}`)}; `,
  )
  const line = `ulimit -c 0; ${variables.join('')}exec ${command.argv.map(cronWord).join(' ')}`
  if (Buffer.byteLength(line) > LONGEST_CRON_COMMAND) {
    throw new VaultError('INPUT', `cannot write a crontab: a line of it has at most ${LONGEST_CRON_COMMAND} bytes`, {
      hints: ['--format systemd can say it', 'or keep vault and key under shorter paths'],
    })
  }
  return `# mcpvault: ${command.summary}, every ${formatDuration(rhythm.everySeconds)}\n${cronFields(rhythm)} ${line}\n`
}

/** cron ends a command at a bare percent sign, within quotes too, and takes a backslash in front of one away. */
function cronWord(word: string): string {
  if (/[\x00-\x1f\x7f\\]/.test(word)) {
    throw new VaultError(
      'INPUT',
      'cannot write a crontab: a path or the key command holds a backslash or a control character',
      {
        hints: ['--format systemd can say it'],
      },
    )
  }
  return shellWord(word).replaceAll('%', '\\%')
}

function cronFields({ everySeconds, minute, hour }: Rhythm): string {
  if (everySeconds < HOUR) {
    const step = everySeconds / MINUTE
    return step === 1 ? '* * * * *' : `${minute % step}-59/${step} * * * *`
  }
  if (everySeconds === HOUR) return `${minute} * * * *`
  if (everySeconds < DAY) return `${minute} ${hour % (everySeconds / HOUR)}-23/${everySeconds / HOUR} * * *`
  return everySeconds === DAY ? `${minute} ${hour} * * *` : `${minute} ${hour} * * 1`
}

/** Writes a service unit (systemd.service(5)). @throws {VaultError} INPUT */
export function formatService(command: TimedCommand): string {
  return `# ${command.unit}.service
[Unit]
Description=mcpvault: ${command.summary}

[Service]
Type=oneshot
${execStart(command)}
LimitCORE=0
UMask=0077
`
}

/** Writes the environment and the command of a unit, without the last line end. @throws {VaultError} INPUT */
export function execStart({ argv, environment }: TimedCommand): string {
  const [program = '', ...rest] = argv
  // Variables are put into arguments, but not into the program's own path, which may hold no quotes.
  const isOdd = /["'\\$]/.test(program)
  if (isOdd && program.includes('=')) {
    throw new VaultError('INPUT', `cannot write a systemd unit: it cannot start "${program}"`)
  }
  const [first = '', ...others] = isOdd ? ['/usr/bin/env', ...argv] : [program, ...rest]
  const words = [systemdWord(first), ...others.map((word) => systemdWord(word).replaceAll('$', '$$$$'))]
  const variables = Object.entries(environment).map(
    ([name, value]) => `Environment=${systemdWord(`${name}=${value}`)}\n`,
  )
  return `${variables.join('')}ExecStart=${words.join(' ')}`
}

/** Writes a timer unit (systemd.timer(5)) for the service of the same name. */
export function formatTimer({ unit, summary }: TimedCommand, { everySeconds }: Rhythm): string {
  const delay = Math.min(LONGEST_DELAY, Math.max(1, Math.floor(everySeconds / SHARE_OF_DELAY)))
  return `# ${unit}.timer
[Unit]
Description=mcpvault: ${summary}, every ${formatDuration(everySeconds)}

[Timer]
OnCalendar=${onCalendar(everySeconds)}
RandomizedDelaySec=${delay}
Persistent=true

[Install]
WantedBy=timers.target
`
}

function onCalendar(everySeconds: number): string {
  if (everySeconds < HOUR) return everySeconds === MINUTE ? '*-*-* *:*:00' : `*-*-* *:00/${everySeconds / MINUTE}:00`
  if (everySeconds === HOUR) return 'hourly'
  if (everySeconds < DAY) return `*-*-* 00/${everySeconds / HOUR}:00:00`
  return everySeconds === DAY ? 'daily' : 'weekly'
}

/** In units a percent sign begins a specifier and a backslash an escape, within quotes too. @throws {VaultError} INPUT */
export function systemdWord(word: string): string {
  if (/[\x00-\x1f\x7f]/.test(word)) {
    throw new VaultError('INPUT', 'cannot write a systemd unit: a path holds a control character')
  }
  const escaped = word.replace(/["\\]/g, '\\$&').replaceAll('%', '%%')
  return /^[\w@+=:,./%-]+$/.test(word) ? escaped : `"${escaped}"`
}
