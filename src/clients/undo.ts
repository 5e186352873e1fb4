import { VaultError } from '../errors.js'
import { formatUtc } from '../timestamp.js'
import { applyEdits, type ConfigText, type TextEdit } from './config-text.js'
import { type AdoptedEntry, appendAdopted } from './adopted-entries.js'
import type { AdoptionAccess } from './adopt.js'
import { openConfig } from './open-config.js'
import { readTextFile, replaceTextFile } from './replace-text-file.js'
import { applyReversal, fingerprintOf } from './reversal.js'

/** What became of one adopted entry. */
export interface UndoStep {
  readonly entry: AdoptedEntry
  /** Why it was left as it is; undefined when it was put back. */
  readonly refusal: string | undefined
}

/** What putting back needs beside the files. */
export interface UndoAccess extends Omit<AdoptionAccess, 'versionOf'> {
  /** Gives the current value of a credential. @throws {VaultError} NOT_FOUND */
  reveal(credential: string): string
}

/**
 * Puts the adopted entries of one file back, byte for byte, with the current values of their credentials. Entries that
 * have been changed since stay as they are, and so does everything else in the file.
 *
 * @throws {VaultError} LOCKED, IO or UNSAFE if the file cannot be written: it is as it was then.
 */
export async function undoFile(
  path: string,
  entries: readonly AdoptedEntry[],
  access: UndoAccess,
): Promise<readonly UndoStep[]> {
  const file = readTextFile(path, 'config', access)
  if (file === undefined) return entries.map((entry) => ({ entry, refusal: 'the file is gone' }))
  const config = await openConfig(file)
  const steps = entries.map((entry) => planUndo(config, entry, access))
  const edits = steps.flatMap((step) => step.edits)
  if (edits.length > 0) {
    const text = applyEdits(config.text, edits)
    await openConfig({ path, text })
    replaceTextFile(file, text, access)
    const undone_at = formatUtc(access.now())
    const done = steps.filter(({ refusal }) => refusal === undefined)
    const records = done.map(({ entry }) => ({ v: 1 as const, undone: entry.id, undone_at }))
    await access.exclusively(() => appendAdopted(access.adopted, records, access))
  }
  return steps
}

function planUndo(
  config: ConfigText,
  entry: AdoptedEntry,
  { reveal }: UndoAccess,
): UndoStep & { readonly edits: readonly TextEdit[] } {
  const refuse = (refusal: string) => ({ entry, refusal, edits: [] })
  const places = new Map(config.regionsOf(entry.path).map((region) => [region.key, region]))
  if (places.size === 0) return refuse('the entry is gone')
  const edits: TextEdit[] = []
  try {
    for (const { key, sha256, steps } of entry.regions) {
      const place = places.get(key)
      if (place === undefined) return refuse('a part of the entry is gone')
      const adopted = config.text.slice(place.start, place.end)
      if (fingerprintOf(adopted) !== sha256) return refuse('the entry has been changed since it was adopted')
      edits.push({ start: place.start, end: place.end, text: applyReversal(adopted, steps, reveal) })
    }
  } catch (error) {
    if (error instanceof VaultError && error.code === 'NOT_FOUND') return refuse(error.message)
    throw error
  }
  return { entry, refusal: undefined, edits }
}
