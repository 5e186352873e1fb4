import { dirname } from 'node:path'
import type { RotationWorld } from '../rotation/programs.js'
import type { Context } from './context.js'
import type { GlobalOptions } from './flags.js'
import { createPrinter } from './printer.js'
import { visible } from './visible.js'

/** What a program of a policy gets to see of the environment, as far as it is set. */
const KEPT_VARIABLES = ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR']
const DEFAULT_PATH = '/usr/local/bin:/usr/bin:/bin'

/** Makes the world of providers, probes, targets and hooks: the vault's directory, and an environment without any key. */
export function rotationWorld(
  vaultPath: string,
  options: Pick<GlobalOptions, 'json' | 'quiet' | 'color'>,
  context: Context,
): RotationWorld {
  const { env, home, host, stderr } = context
  const { warn } = createPrinter(context, options)
  const kept = KEPT_VARIABLES.flatMap((name) => (env[name] ? [[name, env[name]] as const] : []))
  return {
    directory: dirname(vaultPath),
    home,
    environment: { PATH: DEFAULT_PATH, HOME: home, ...Object.fromEntries(kept) },
    host,
    searchBaseUrl: env.SCAVIO_BASE_URL,
    now: () => context.now(),
    randomBytes: (length) => context.randomBytes(length),
    guardGroup: (start) => context.guardGroup(start),
    // Where JSON is expected on stderr, a program's words travel with the warnings.
    say: options.json ? warn : (line) => stderr.write(`${eraseLine(context)}${visible(line)}\n`),
    warn,
  }
}

/** What makes room for a line where a spinner may stand, which draws itself again below. */
export function eraseLine({ stderr, env }: Pick<Context, 'stderr' | 'env'>): string {
  return stderr.isTerminal && env.TERM !== 'dumb' ? '\r\u001b[K' : ''
}
