import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import { parseDuration } from '../../duration.js'
import { VaultError } from '../../errors.js'
import { shellWord } from '../../shell-word.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import { type CommandShape, type GlobalOptions, oneOf } from '../flags.js'
import { CONFIG_FLAG, LISTEN_FLAG, type ListenAddress } from '../gateway-config.js'
import { createPrinter } from '../printer.js'
import { checkEvery, formatCron, formatService, formatTimer, type Rhythm, type TimedCommand } from '../schedule-text.js'
import { JOBS, type JobName, planJob, planService } from '../scheduled-job.js'
import { formatLastingService } from '../service-unit.js'

/** Options of `schedule`. */
export interface ScheduleOptions extends GlobalOptions {
  readonly job: string
  readonly format?: 'cron' | 'systemd'
  readonly part?: 'service' | 'timer'
  readonly everySeconds?: number
  readonly config?: string
  readonly listen?: ListenAddress
}

const HOUR_SECONDS = 3600

const SCHEDULE: CommandShape<ScheduleOptions> = {
  name: 'schedule',
  positionals: [{ key: 'job', arity: 'one', help: 'rotation-due, rotate or serve' }],
  flags: [
    {
      key: 'format',
      long: '--format',
      value: 'FORMAT',
      help: 'cron or systemd (cron)',
      parse: oneOf('cron', 'systemd'),
    },
    {
      key: 'part',
      long: '--part',
      value: 'PART',
      help: 'only one unit of systemd: service or timer',
      parse: oneOf('service', 'timer'),
    },
    {
      key: 'everySeconds',
      long: '--every',
      value: 'TIME',
      help: 'how often (1h)',
      parse: (text) => checkEvery(parseDuration(text)),
    },
    { ...CONFIG_FLAG, help: `serve: ${CONFIG_FLAG.help}` },
    { ...LISTEN_FLAG, help: `serve: ${LISTEN_FLAG.help}` },
  ],
  examples: [
    ['rotate what is due from cron', '(crontab -l; mcpvault schedule rotate) | crontab -'],
    [
      'from systemd, as a user',
      'mcpvault schedule rotate --format systemd --part timer > ~/.config/systemd/user/mcpvault-rotate.timer',
    ],
    ['be told every day what is due', 'mcpvault schedule rotation-due --every 1d'],
    ['keep the gateway running', 'mcpvault schedule serve | sudo tee /etc/systemd/system/mcpvault-serve.service'],
    ['would it work at night?', 'mcpvault doctor --as-cron'],
  ],
}

/** Registers `schedule`. */
export function addScheduleCommand(parent: Command, context: Context, run = runSchedule): void {
  addCommand(parent, SCHEDULE, (options) => run(options, context))
}

/** Prints a crontab line or systemd units that run a job, or the unit that keeps the gateway running. */
export async function runSchedule(options: ScheduleOptions, context: Context): Promise<void> {
  if (options.job === 'serve') return scheduleServe(options, context)
  const { format = 'cron', part, everySeconds = HOUR_SECONDS, config, listen } = options
  if (config !== undefined || listen !== undefined) {
    throw new VaultError('USAGE', 'cannot use --config and --listen: they belong to schedule serve')
  }
  const job = parseJob(options.job)
  if (part !== undefined && format !== 'systemd') {
    throw new VaultError('USAGE', 'cannot use --part: it belongs to --format systemd')
  }
  const command = planJob(job, options, context)
  const printer = createPrinter(context, options)
  warnOfNpx(printer, context)
  const random = context.randomBytes(2)
  const rhythm = { everySeconds, minute: (random[0] ?? 0) % 60, hour: (random[1] ?? 0) % 24 }
  const text = format === 'cron' ? formatCron(command, rhythm) : formatUnits(command, rhythm, part)
  if (options.json) {
    const { unit, argv, environment } = command
    printer.json({ job, format, every_seconds: everySeconds, unit, command: argv, environment, text })
  } else context.stdout.write(text)
}

function scheduleServe(options: ScheduleOptions, context: Context): void {
  const { format = 'systemd', part = 'service', everySeconds } = options
  if (format !== 'systemd' || part !== 'service' || everySeconds !== undefined) {
    throw new VaultError('USAGE', 'cannot schedule serve so: it lasts, so there is one unit of systemd and no timer', {
      hints: ['mcpvault schedule serve'],
    })
  }
  const command = planService(options, context)
  const printer = createPrinter(context, options)
  warnOfNpx(printer, context)
  for (const path of command.writes.filter((one) => !existsSync(one))) {
    // systemd starts nothing where a path of ReadWritePaths is missing.
    printer.warn(`the unit will not start before this folder is there: mkdir -p -m 700 ${shellWord(path)}`)
  }
  if (command.user === 'root') printer.warn('the gateway would run as root: write another User= into the unit')
  const text = formatLastingService(command)
  const { unit, argv, environment, user, writes } = command
  if (options.json) printer.json({ job: 'serve', format, unit, command: argv, environment, user, writes, text })
  else context.stdout.write(text)
}

function warnOfNpx(printer: ReturnType<typeof createPrinter>, context: Context): void {
  if (!context.host.launcher.some((path) => path.includes('/_npx/'))) return
  printer.warn('this mcpvault lies in the cache of npx, which is cleaned now and then: install it with npm install -g')
}

function parseJob(text: string): JobName {
  if (Object.hasOwn(JOBS, text)) return text as JobName
  throw new VaultError('USAGE', `cannot schedule that: expected one of ${Object.keys(JOBS).join(', ')}, serve`, {
    hints: ['mcpvault help schedule'],
  })
}

function formatUnits(command: TimedCommand, rhythm: Rhythm, part: ScheduleOptions['part']): string {
  const service = part === 'timer' ? [] : [formatService(command)]
  const timer = part === 'service' ? [] : [formatTimer(command, rhythm)]
  return [...service, ...timer].join('\n')
}
