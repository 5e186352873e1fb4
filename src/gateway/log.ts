import { pino } from 'pino'
import { VaultError } from '../errors.js'

/** The gateway's own log: JSON lines. */
export interface GatewayLog {
  info(message: string, members?: Readonly<Record<string, string | number>>): void
  warn(message: string): void
  /** Writes that something failed: its message only if it is one of ours, which hold public values alone. */
  readonly report: (what: string, error: unknown) => void
}

/** Makes a log that writes lines. */
export function createLog({ writeLog }: { writeLog(line: string): void }): GatewayLog {
  const logger = pino(
    {
      base: { name: 'mcpvault' },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
    },
    { write: writeLog },
  )
  return {
    info: (message, members = {}) => logger.info(members, message),
    warn: (message) => logger.warn(message),
    report: (what, error) => {
      const known =
        error instanceof VaultError
          ? { code: error.code, reason: error.message }
          : { code: 'INTERNAL', reason: nameOf(error) }
      logger.error(known, what)
    },
  }
}

/** Foreign messages may quote what went through here. */
function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error
}
