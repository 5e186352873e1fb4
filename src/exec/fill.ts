import { VaultError } from '../errors.js'
import type { Secret } from '../secret.js'
import { describePlace, isReference, parseTemplate, type TemplateReference } from './template.js'

/** A filled template. */
export interface Filled {
  readonly bytes: Buffer
  /** The credentials that were put in, each once, in the order in which they were met. */
  readonly names: readonly string[]
}

/**
 * Puts values in the place of a template's references, byte for byte. Everything that is missing is named at once.
 *
 * @throws {VaultError} INPUT if the template is not understood, NOT_FOUND if anything is missing; what `load` throws
 */
export function fillTemplate(template: Buffer, load: (reference: TemplateReference) => Secret): Filled {
  const missing: string[] = []
  const hints = new Set<string>()
  const names = new Set<string>()
  const pieces: Buffer[] = []
  const values: Secret[] = []
  for (const part of parseTemplate(template)) {
    if (!isReference(part)) {
      pieces.push(part.bytes)
      continue
    }
    try {
      const value = load(part)
      values.push(value)
      pieces.push(value.reveal())
      names.add(part.name)
    } catch (error) {
      if (!(error instanceof VaultError && error.code === 'NOT_FOUND')) throw error
      missing.push(`${describePlace(template, part.offset)}: ${error.message}`)
      for (const hint of error.hints) hints.add(hint)
    }
  }
  if (missing.length > 0) {
    throw new VaultError('NOT_FOUND', `cannot fill the template: ${missing.join('; ')}`, { hints: [...hints] })
  }
  const bytes = Buffer.concat(pieces)
  for (const value of values) value.wipe()
  return { bytes, names: [...names] }
}
