import { VaultError } from '../errors.js'

/** Text in which `${vault:NAME}` stands for credentials. */
export type Template = readonly TemplatePart[]

/** A piece of text, or a credential. */
export type TemplatePart = string | { readonly credential: string }

const REFERENCE = /\$\{([^}]*)\}/g

/**
 * Reads a template.
 *
 * @throws {VaultError} INPUT if a reference is none to a credential. The text is not repeated: it may hold a secret.
 */
export function parseTemplate(text: string): Template {
  const parts: TemplatePart[] = []
  let from = 0
  for (const match of text.matchAll(REFERENCE)) {
    const name = /^vault:(.{1,256})$/s.exec(match[1] ?? '')?.[1]
    if (name === undefined) throw unknownReference()
    if (match.index > from) parts.push(text.slice(from, match.index))
    parts.push({ credential: name })
    from = match.index + match[0].length
  }
  const rest = text.slice(from)
  if (rest.includes('${')) throw unknownReference()
  if (rest !== '') parts.push(rest)
  return parts
}

function unknownReference(): VaultError {
  return new VaultError('INPUT', `a reference is not of the form \${vault:NAME}`)
}

/** Lists the credentials of templates, each once. */
export function credentialsOf(templates: Iterable<Template>): readonly string[] {
  const names = [...templates].flat().flatMap((part) => (typeof part === 'string' ? [] : [part.credential]))
  return [...new Set(names)]
}

/** Puts the values in; the result is as secret as they are. */
export function fillTemplate(template: Template, values: { value(name: string): string }): string {
  return template.map((part) => (typeof part === 'string' ? part : values.value(part.credential))).join('')
}
