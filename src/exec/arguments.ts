/** References to credentials in the arguments of a program. */

import type { Secret } from '../secret.js'
import { VaultError } from '../errors.js'
import { variableText } from './environment.js'
import { isReference, parseTemplate, type TemplatePart } from './template.js'

/** A program's words, cut at the references in them. */
export type ArgumentTemplates = readonly (readonly TemplatePart[])[]

/**
 * Reads `{{ vault "NAME" }}` in the arguments of a program; its first word, the program itself, is taken as it stands.
 *
 * @throws {VaultError} INPUT if an argument is not understood or names a version: what runs is given the current one
 */
export function parseArguments(program: readonly string[]): ArgumentTemplates {
  return program.map((word, index) => {
    if (index === 0) return [{ bytes: Buffer.from(word) }]
    const parts = parseTemplate(Buffer.from(word))
    if (!parts.some((part) => isReference(part) && part.version !== undefined)) return parts
    throw new VaultError('INPUT', `cannot fill argument ${index}: a program is given the current version alone`)
  })
}

/** Names the credentials that arguments refer to, each once. */
export function argumentCredentials(templates: ArgumentTemplates): readonly string[] {
  return [...new Set(templates.flat().flatMap((part) => (isReference(part) ? [part.name] : [])))]
}

/** Puts the values in. @throws {VaultError} INPUT if a value is no text, or holds a NUL */
export function fillArguments(templates: ArgumentTemplates, reveal: (name: string) => Secret): readonly string[] {
  return templates.map((parts) =>
    parts
      .map((part) => (isReference(part) ? variableText(reveal(part.name), part.name) : part.bytes.toString('utf8')))
      .join(''),
  )
}
