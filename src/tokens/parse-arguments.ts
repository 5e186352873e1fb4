import { VaultError } from '../errors.js'
import type { Arguments } from './argument-rules.js'

/**
 * Reads the arguments of a call. An object that names a member twice is refused at any depth: one program takes the first
 * and another the last, so that what was judged might not be what is called with.
 *
 * @throws {VaultError} INPUT if they are no JSON object, or a name stands twice in one; quotes nothing of them.
 */
export function parseArguments(text: string): Arguments {
  const value = parseJson(text)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new VaultError('INPUT', 'cannot read the arguments of the call: expected a JSON object', {
      hints: [`echo '{"query":"mcp"}' | mcpvault token check --tool web_search --args -`],
    })
  }
  if (hasDuplicateName(text)) {
    throw new VaultError('INPUT', 'cannot read the arguments of the call: a name stands twice in one object')
  }
  return value as Arguments
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // JSON.parse quotes its input.
    return undefined
  }
}

/** Walks a text that is known to be JSON. */
function hasDuplicateName(text: string): boolean {
  const levels: (Set<string> | undefined)[] = []
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at]
    if (char === '{') levels.push(new Set())
    else if (char === '[') levels.push(undefined)
    else if (char === '}' || char === ']') levels.pop()
    else if (char === '"') {
      const end = endOfString(text, at)
      if (isName(text, end + 1)) {
        const name = String(JSON.parse(text.slice(at, end + 1)))
        if (levels.at(-1)?.has(name)) return true
        levels.at(-1)?.add(name)
      }
      at = end
    }
  }
  return false
}

/** Gives the position of the closing quote. */
function endOfString(text: string, start: number): number {
  let at = start + 1
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at
}

function isName(text: string, from: number): boolean {
  let at = from
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at += 1
  return text[at] === ':'
}
