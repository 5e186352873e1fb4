import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import type { LogReport } from '../../log/verify.js'
import { checkLog } from '../../vault/check-log.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForReading } from '../open-vault.js'
import { createPrinter } from '../printer.js'

const MAX_LISTED = 20

const LOG_VERIFY: CommandShape<GlobalOptions> = {
  name: 'log verify',
  examples: [['was the log edited or cut?', 'mcpvault log verify']],
}

/** Registers `log verify`. */
export function addLogVerifyCommand(parent: Command, context: Context, run = runLogVerify): void {
  addCommand(parent, LOG_VERIFY, (options) => run(options, context))
}

/** Checks every record's hash, the chain, and the chain's head against the vault. */
export async function runLogVerify(options: GlobalOptions, context: Context): Promise<void> {
  const { vault, access } = await openForReading(options, context, 'if-there')
  const report = checkLog(vault, access)
  const path = access.store.locate('log')
  if (report.problems.length > 0) throw broken(report, path)
  const printer = createPrinter(context, options)
  if (options.json) {
    printer.json({
      records: report.records,
      sealed: report.sealed,
      checkpoints: report.checkpoints.length,
      gaps: report.gaps,
      restored: report.restored,
      torn: report.torn,
      anchored: report.anchored ?? null,
      verified: vault.isVerified,
    })
    return
  }
  if (report.torn) printer.warn('an unfinished record lies at the end; the next command that writes cuts it off')
  for (const { after, before } of report.gaps.slice(0, MAX_LISTED)) {
    printer.warn(`records ${after + 1} to ${before - 1} are not there`)
  }
  for (const seq of report.restored.slice(0, MAX_LISTED)) {
    printer.warn(`record ${seq} says that somebody went on from an older or changed state: mcpvault log show`)
  }
  context.stdout.write(`${summary(report, vault.isVerified)}\n`)
}

function summary(report: LogReport, isVerified: boolean): string {
  const others = report.checkpoints.length
  const foreign = others === 0 ? '' : `; ${others} by other programs, which nothing vouches for`
  const anchor =
    report.anchored === undefined
      ? 'no vault holds its head, so a cut end would not be noticed'
      : isVerified
        ? 'its head is the one in the vault'
        : 'its head is the one in the vault, which was not verified since no key was given'
  const records = report.records === 1 ? '1 record holds' : `${report.records} records hold`
  return `${records} together${foreign}; ${anchor}`
}

function broken(report: LogReport, path: string): VaultError {
  const listed = report.problems.slice(0, MAX_LISTED).map(({ index, seq, text }) => {
    const where = index === undefined ? 'the log' : `record ${seq ?? '?'} (position ${index + 1})`
    return `${where} ${text}`
  })
  const more = report.problems.length - listed.length
  return new VaultError('DAMAGED', `the rotation log "${path}" does not hold together`, {
    hints: more > 0 ? [...listed, `and ${more} more`] : listed,
  })
}
