import { type AdoptedEntry, adoptedPath, readAdopted } from '../clients/adopted-entries.js'
import { type UndoStep, undoFile } from '../clients/undo.js'
import { VaultError } from '../errors.js'
import { followLinks } from '../storage/resolve-target.js'
import { openVault } from '../vault/open.js'
import type { Vault } from '../vault/vault.js'
import { allowCommand, undoGateway } from './adoption-gateway.js'
import { adoptionAccess } from './adoption-world.js'
import type { AdoptOptions } from './commands/adopt.js'
import { requireConfirmation } from './confirm.js'
import type { Context } from './context.js'
import { absolutePath } from './directories.js'
import { openForWriting } from './open-vault.js'
import { countOf, createPrinter } from './printer.js'

/** Puts adopted entries back into their configs, with their values in plain text. */
export async function undoAdoption(options: AdoptOptions, context: Context): Promise<void> {
  const printer = createPrinter(context, options)
  const access = await openForWriting(options, context)
  const vault = openVault(access)
  const entries = readAdopted(adoptedPath(access.store.locate('vault')), context).filter(matcher(options, context))
  if (entries.length === 0) {
    printer.done('there is nothing to put back', { restored: [], left: [] })
    return
  }
  const question = `put ${countOf(entries.length, 'adopted entry').replace('entrys', 'entries')} back, with values in plain text?`
  await requireConfirmation(question, options, context)
  const undoing = { ...adoptionAccess(access, context), reveal: (name: string) => revealText(vault, name, context) }
  const steps: UndoStep[] = []
  for (const round of roundsOf(entries)) {
    for (const [file, own] of groupByFile(round)) steps.push(...(await undoFile(file, own, undoing)))
  }
  const done = steps.filter(({ refusal }) => refusal === undefined)
  const left = steps.filter(({ refusal }) => refusal !== undefined)
  for (const { entry } of done) warnOfRotation(entry, vault, printer.warn)
  const live = readAdopted(undoing.adopted, context)
  const gateway = await undoGateway(
    done.map(({ entry }) => entry),
    live,
    undoing,
  )
  for (const server of gateway.left) {
    printer.warn(`"${server}" stays in the gateway's configuration: it has been changed since it was adopted`)
  }
  if (left.length > 0) throw leftBehind(left, done.length)
  const names = done.map(({ entry }) => ({ file: entry.file, server: entry.server }))
  printer.done(
    `put ${done.length === 1 ? '1 entry' : `${done.length} entries`} back; the credentials are still in the vault, and due`,
    { restored: names, left: [], gateway_removed: gateway.removed },
  )
  if (gateway.removed.length === 0 || options.json || options.quiet) return
  const rest = gateway.hasOthers ? `; approve what is left: ${allowCommand(options)}` : ''
  context.stderr.write(`taken out of the gateway's configuration: ${gateway.removed.join(', ')}${rest}\n`)
}

function matcher({ files, client, only, skip }: AdoptOptions, context: Context): (entry: AdoptedEntry) => boolean {
  const paths = files.map((file) => followLinks(absolutePath(file, context)))
  return (entry) => {
    const names = [entry.server, ...entry.credentials.map(({ name }) => name)]
    if (paths.length > 0 && !paths.includes(entry.file)) return false
    if (client !== undefined && entry.client !== client) return false
    return (
      (only.length === 0 || names.some((name) => only.includes(name))) && !names.some((name) => skip.includes(name))
    )
  }
}

/** An entry that was adopted twice is put back twice, the later time first. */
function roundsOf(entries: readonly AdoptedEntry[]): readonly (readonly AdoptedEntry[])[] {
  const rounds: AdoptedEntry[][] = []
  const seen = new Map<string, number>()
  for (const entry of [...entries].reverse()) {
    const place = JSON.stringify([entry.file, entry.path])
    const round = seen.get(place) ?? 0
    seen.set(place, round + 1)
    rounds[round] = [...(rounds[round] ?? []), entry]
  }
  return rounds
}

function groupByFile(entries: readonly AdoptedEntry[]): ReadonlyMap<string, readonly AdoptedEntry[]> {
  const groups = new Map<string, AdoptedEntry[]>()
  for (const entry of entries) groups.set(entry.file, [...(groups.get(entry.file) ?? []), entry])
  return groups
}

function revealText(vault: Vault, name: string, context: Context): string {
  const value = vault.load(name, { nowMs: context.now() })
  const text = value.revealText()
  value.wipe()
  if (text === undefined) throw new VaultError('NOT_FOUND', `the value of "${name}" is no text any more`)
  return text
}

function warnOfRotation(entry: AdoptedEntry, vault: Vault, warn: (text: string) => void): void {
  for (const { name, version } of entry.credentials) {
    const current = vault.describe(name)?.versions.find(({ stage }) => stage === 'current')?.version
    if (current !== undefined && current !== version) {
      warn(`"${entry.server}" has the current value of "${name}", which was rotated since it was adopted`)
    }
  }
}

function leftBehind(left: readonly UndoStep[], done: number): VaultError {
  const hints = left.map(({ entry, refusal }) => `"${entry.server}" in "${entry.file}": ${refusal}`)
  return new VaultError('UNSAFE', `cannot put ${left.length} of ${left.length + done} entries back`, { hints })
}
