import { parseDuration } from '../duration.js'
import { VaultError } from '../errors.js'
import { type ArgumentRule, isArgumentRule, OPERATORS } from '../tokens/argument-rules.js'
import { isMethod, MAX_CALLS, METHODS, type Method } from '../tokens/caveats.js'
import { parseRate, type Rate } from '../tokens/rate.js'
import { type Flag, wholeNumber } from './flags.js'

/** Reads `--tools a,b`; white space around a name is dropped, an empty name is an error. */
export function parseNames(text: string): readonly string[] {
  const names = text.split(',').map((name) => name.trim())
  if (names.includes(''))
    throw new VaultError('USAGE', 'cannot read --tools: a name is empty', { hints: ['names are separated by commas'] })
  return names
}

/** Reads `--methods tools,resources`. */
export function parseMethods(text: string): readonly Method[] {
  const methods = text.split(',').map((name) => name.trim())
  if (!methods.every(isMethod))
    throw new VaultError('USAGE', `cannot read --methods: expected some of ${METHODS.join(', ')}`)
  return methods
}

/** `--tools` */
export const TOOLS_FLAG: Flag = {
  key: 'tools',
  long: '--tools',
  value: 'NAMES',
  help: 'tools that may be called, separated by commas',
  parse: parseNames,
}
/** `--methods` */
export const METHODS_FLAG: Flag = {
  key: 'methods',
  long: '--methods',
  value: 'NAMES',
  help: `MCP features: ${METHODS.join(', ')} (tools)`,
  parse: parseMethods,
}
/** `--ttl` */
export const TTL_FLAG: Flag = {
  key: 'ttlSeconds',
  long: '--ttl',
  value: 'TIME',
  help: 'how long it lives',
  parse: (text) => parseDuration(text),
}
/** `--calls` */
export const CALLS_FLAG: Flag = {
  key: 'calls',
  long: '--calls',
  value: 'N',
  help: 'how many calls may be made with it, and with all that is narrowed from it',
  parse: wholeNumber(1, MAX_CALLS),
}
/** `--rate` */
export const RATE_FLAG: Flag = {
  key: 'rate',
  long: '--rate',
  value: 'RATE',
  help: 'how many calls a gateway accepts in a second, minute or hour, such as 30/m',
  parse: readRate,
}
/** `--arg` */
export const ARG_FLAG: Flag = {
  key: 'rules',
  long: '--arg',
  value: 'RULE',
  help: "what an argument must keep to, such as 'web_search:num_results<=5'; may be repeated",
  isList: true,
  parse: parseRule,
}

function readRate(text: string): Rate {
  const rate = parseRate(text)
  if (rate !== undefined) return rate
  throw new VaultError('USAGE', 'cannot read --rate: expected calls in a second, minute or hour', {
    hints: ['--rate 30/m', '--rate 2/s'],
  })
}

// The first colon behind which a path and an operator follow ends the tool's name, which may hold colons itself.
const RULE = /^(.+?):([A-Za-z0-9_$@.-]+)(?:\s*(<=|>=|!=|=|<|>)(?![=<>])\s*|\s+(in|prefix)\s+)(\S.*)$/s

/**
 * Reads a rule of `--arg`: `TOOL:PATH OPERATOR VALUE`. What is JSON stands for itself, anything else for text; a list is
 * a JSON array or values separated by commas.
 *
 * @throws {VaultError} USAGE
 */
export function parseRule(text: string): ArgumentRule {
  const [, tool, path, sign, word, operand = ''] = RULE.exec(text.trim()) ?? []
  const operator = sign ?? word
  if (tool === undefined || path === undefined || operator === undefined) {
    throw badRule(`expected TOOL:PATH, one of ${OPERATORS.join(' ')}, and a value`)
  }
  const rule: readonly unknown[] = [tool, path, operator, readOperand(operator, operand)]
  if (isArgumentRule(rule)) return rule
  throw badRule(whyOdd(operator))
}

function readOperand(operator: string, text: string): unknown {
  const value = readValue(text)
  // Only quotes make a prefix JSON: the query that begins with 2026 begins with text.
  if (operator === 'prefix') return typeof value === 'string' ? value : text
  if (operator !== 'in') return value
  return Array.isArray(value) ? value : text.split(',').map((item) => readValue(item.trim()))
}

function readValue(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function whyOdd(operator: string): string {
  if (operator === 'in') return 'expected up to 64 texts, numbers, true or false'
  if (operator === 'prefix') return 'the text is too long, or a name is none'
  if (operator === '=' || operator === '!=') return 'expected a text, a number, true or false'
  return `${operator} compares with a number`
}

function badRule(reason: string): VaultError {
  return new VaultError('USAGE', `cannot read --arg: ${reason}`, {
    hints: [
      "--arg 'web_search:num_results<=5'",
      "--arg 'web_search:query prefix site:'",
      "--arg 'web_search:lang in en,de'",
    ],
  })
}
