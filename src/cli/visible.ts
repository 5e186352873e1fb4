import type { Output } from './context.js'

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/**
 * Makes untrusted text safe for a terminal: control and bidirectional characters become escapes such as `\x1b` or
 * `\u202e`, so that a name cannot move the cursor, end a line or turn it around.
 */
export function visible(text: string): string {
  return text.replace(unsafeCharacters(), escapeCharacter)
}

/**
 * Prints a value as one line of JSON that is as safe for a terminal: `JSON.stringify` leaves DEL, C1 and bidirectional
 * characters as they are, and a `\u` escape reads as the same string.
 */
export function visibleJson(value: unknown): string {
  return JSON.stringify(value).replace(unsafeCharacters(), (character) => `\\u${hexOf(character).padStart(4, '0')}`)
}

/**
 * Makes a JSON text that somebody else wrote safe for a terminal: it reads as the same value. In a pipe it stays as it is.
 */
export function shownJson(text: string, output: Output): string {
  if (!output.isTerminal) return text
  return text.replace(unsafeCharacters(), (character) =>
    // Between its tokens JSON allows these, and within a string none of them.
    /[\n\r\t]/.test(character) ? character : `\\u${hexOf(character).padStart(4, '0')}`,
  )
}

/** C0, DEL, C1, bidirectional and invisible format characters, line separators, lone surrogates. */
function unsafeCharacters(): RegExp {
  // Made when it is used: at import time it would cost `load`, which needs none. With `u`, paired surrogates do not match.
  return /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]/gu
}

function hexOf(character: string): string {
  return character.charCodeAt(0).toString(16)
}

function escapeCharacter(character: string): string {
  const hex = hexOf(character)
  return SHORT[character] ?? (hex.length < 3 ? `\\x${hex.padStart(2, '0')}` : `\\u${hex.padStart(4, '0')}`)
}
