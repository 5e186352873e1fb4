import { createHash } from 'node:crypto'
import { VaultError } from '../errors.js'
import { redactionForms } from '../redact/forms.js'
import { escapeTomlBasic } from './toml-value.js'

/** A step of turning an adopted text back: characters that stay, characters that go, text that comes back. */
export type ReversalStep =
  | { readonly keep: number }
  | { readonly drop: number }
  | { readonly put: readonly (string | SecretReference)[] }

/** A value of the vault in the place of a secret, spelled as the text had it. */
export interface SecretReference {
  readonly credential: string
  readonly as: Spelling
}

/** A secret that must not be kept in plain text. */
export interface NamedSecret {
  readonly credential: string
  readonly value: string
}

/** How configs spell a text between quotes; some programs escape more than they must. The first that fits is taken. */
const SPELLINGS = {
  json: (text: string) => JSON.stringify(text).slice(1, -1),
  'json-slash': (text: string) => JSON.stringify(text).slice(1, -1).replaceAll('/', '\\/'),
  'json-html': (text: string) => escapeUnits(JSON.stringify(text).slice(1, -1), /[<>&\u2028\u2029]/g),
  'json-ascii': (text: string) => escapeUnits(JSON.stringify(text).slice(1, -1), /[\x7f-\uffff]/g),
  toml: escapeTomlBasic,
  /** Between the single quotes of TOML. */
  plain: (text: string) => text,
} as const

type Spelling = keyof typeof SPELLINGS

function escapeUnits(text: string, pattern: RegExp): string {
  return text.replace(pattern, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/**
 * Says how to turn a text back into the one before it, without holding a secret: what comes back is cut into text and
 * references to credentials. Both are cut out before texts are compared, so that no secret is taken apart.
 *
 * @param kept Secrets that stay in the text; they must not be copied either.
 * @throws {VaultError} INPUT if a secret is spelled so that it could not be put back byte for byte.
 */
export function describeReversal(
  texts: { readonly adopted: string; readonly original: string; readonly format: 'json' | 'toml' },
  secrets: readonly NamedSecret[],
  kept: readonly string[],
): readonly ReversalStep[] {
  const whole = kept.flatMap(spellingsOf)
  const from = words(texts.adopted, whole)
  const to = withReferences(texts.original, secrets, texts.format).flatMap((part): readonly Token[] => {
    return typeof part === 'string' ? words(part, whole) : [part]
  })
  const steps = compare(from, to, (word) => (whole.includes(word) ? WHOLE_WEIGHT : 1))
  const texted = steps.flatMap((step) => ('put' in step ? step.put.filter((part) => typeof part === 'string') : []))
  for (const value of [...secrets.map((secret) => secret.value), ...kept]) {
    if (texted.some((text) => holds(text, value)) || holds(texted.join(''), value)) {
      throw new VaultError('INPUT', 'a secret in it is spelled with escapes that could not be put back byte for byte')
    }
  }
  return steps
}

function holds(text: string, value: string): boolean {
  const bytes = Buffer.from(text)
  return redactionForms(Buffer.from(value)).some((form) => bytes.includes(form))
}

/**
 * Turns an adopted text back.
 *
 * @param reveal Gives the value of a credential.
 * @throws {VaultError} what `reveal` throws.
 */
export function applyReversal(
  adopted: string,
  steps: readonly ReversalStep[],
  reveal: (credential: string) => string,
): string {
  let at = 0
  let original = ''
  for (const step of steps) {
    if ('keep' in step) original += adopted.slice(at, at + step.keep)
    if ('keep' in step) at += step.keep
    else if ('drop' in step) at += step.drop
    else {
      for (const part of step.put) {
        original += typeof part === 'string' ? part : SPELLINGS[part.as](reveal(part.credential))
      }
    }
  }
  return original
}

/** Identifies a text that holds no secret. */
export function fingerprintOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** Lists how a text can be spelled between quotes. */
export function spellingsOf(text: string): readonly string[] {
  return (Object.keys(SPELLINGS) as Spelling[]).map((as) => SPELLINGS[as](text))
}

function withReferences(
  text: string,
  secrets: readonly NamedSecret[],
  format: 'json' | 'toml',
): readonly (string | SecretReference)[] {
  let parts: readonly (string | SecretReference)[] = [text]
  // The longest first: one secret can be a part of another.
  for (const { credential, value } of [...secrets].sort((a, b) => b.value.length - a.value.length)) {
    for (const as of Object.keys(SPELLINGS) as Spelling[]) {
      const spelled = SPELLINGS[as](value)
      parts = parts.flatMap((part) => {
        if (typeof part !== 'string') return [part]
        return cut(part, spelled, (before) => ({
          credential,
          as: spelled === value && format === 'toml' && isLiteral(before) ? 'plain' : as,
        }))
      })
    }
  }
  return parts.filter((part) => part !== '')
}

/** Whether a text ends within single quotes; another value is then to be written without escapes, too. */
function isLiteral(before: string): boolean {
  const line = before.slice(before.lastIndexOf('\n') + 1).replace(/"(?:[^"\\]|\\.)*"/g, '')
  return (line.match(/'/g) ?? []).length % 2 === 1
}

function cut(
  text: string,
  spelled: string,
  referenceBehind: (before: string) => SecretReference,
): readonly (string | SecretReference)[] {
  let before = ''
  return text.split(spelled).flatMap((part, index) => {
    const reference = referenceBehind(before)
    before += part
    return index === 0 ? [part] : [reference, part]
  })
}

/** A word, or a secret as one. */
type Token = string | SecretReference

type TokenStep = { readonly keep: number } | { readonly drop: number } | { readonly put: Token }

/** What must stay where it is outweighs any number of words. */
const WHOLE_WEIGHT = 1_000_000

/** Compares by words: what stays is never copied. */
function compare(
  old: readonly string[],
  fresh: readonly Token[],
  weightOf: (word: string) => number,
): readonly ReversalStep[] {
  let head = 0
  while (head < old.length && head < fresh.length && old[head] === fresh[head]) head += 1
  let tail = 0
  while (tail < old.length - head && tail < fresh.length - head && old.at(-1 - tail) === fresh.at(-1 - tail)) tail += 1
  const middle = align(old.slice(head, old.length - tail), fresh.slice(head, fresh.length - tail), weightOf)
  const end = tail === 0 ? '' : old.slice(-tail).join('')
  return mergeSteps([{ keep: old.slice(0, head).join('').length }, ...middle, { keep: end.length }])
}

/** Cuts a text into words, and some texts out of it whole. */
function words(text: string, whole: readonly string[]): readonly string[] {
  const pieces = [...new Set(whole)]
    .sort((a, b) => b.length - a.length)
    .map((piece) => piece.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  const cut = pieces.length === 0 ? [text] : text.split(new RegExp(`(${pieces.join('|')})`))
  return cut.flatMap((part, index) => (index % 2 === 1 ? [part] : (part.match(/\w+|\s+|[^\w\s]/g) ?? [])))
}

/** The heaviest common subsequence, by the table of weights. */
function align(
  old: readonly string[],
  fresh: readonly Token[],
  weightOf: (word: string) => number,
): readonly TokenStep[] {
  const width = fresh.length + 1
  if (old.length * width > 8_000_000) {
    throw new VaultError('INPUT', 'its entry is too long to be put back later')
  }
  const weights = new Float64Array((old.length + 1) * width)
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = fresh.length - 1; j >= 0; j--) {
      const at = i * width + j
      weights[at] =
        old[i] === fresh[j]
          ? (weights[at + width + 1] ?? 0) + weightOf(old[i] ?? '')
          : Math.max(weights[at + width] ?? 0, weights[at + 1] ?? 0)
    }
  }
  const steps: TokenStep[] = []
  let [i, j] = [0, 0]
  while (i < old.length || j < fresh.length) {
    const [gone, come] = [old[i], fresh[j]]
    const below = weights[(i + 1) * width + j] ?? 0
    const beside = weights[i * width + j + 1] ?? 0
    if (gone !== undefined && gone === come) {
      steps.push({ keep: gone.length })
      i += 1
      j += 1
    } else if (gone !== undefined && (come === undefined || below >= beside)) {
      steps.push({ drop: gone.length })
      i += 1
    } else {
      steps.push({ put: come ?? '' })
      j += 1
    }
  }
  return steps
}

/** Joins neighbours of one kind, and what goes and comes between two words that stay. */
function mergeSteps(steps: readonly TokenStep[]): readonly ReversalStep[] {
  const merged: ReversalStep[] = []
  let dropped = 0
  let put: Token[] = []
  const flush = (): void => {
    if (dropped > 0) merged.push({ drop: dropped })
    if (put.length > 0) merged.push({ put: joinTexts(put) })
    dropped = 0
    put = []
  }
  for (const step of steps) {
    if ('drop' in step) dropped += step.drop
    else if ('put' in step) put.push(step.put)
    else if (step.keep > 0) {
      flush()
      const last = merged.at(-1)
      if (last !== undefined && 'keep' in last) merged[merged.length - 1] = { keep: last.keep + step.keep }
      else merged.push(step)
    }
  }
  flush()
  return merged
}

function joinTexts(tokens: readonly Token[]): readonly Token[] {
  const joined: Token[] = []
  for (const token of tokens) {
    const last = joined.at(-1)
    if (typeof token === 'string' && typeof last === 'string') joined[joined.length - 1] = last + token
    else joined.push(token)
  }
  return joined
}
