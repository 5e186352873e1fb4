/**
 * Rules about the arguments of a call: what the caveat `args` holds.
 *
 * Holders of tokens choose these rules and our verifier runs them, so there are no patterns and no schemas: each rule
 * looks up one value and compares it, in time that is bounded by the token's size.
 *
 * @module
 */

import { isToolName } from './tool-name.js'

/** A value that a rule compares with. Numbers are finite and at most 2^53 - 1 in size. */
export type Scalar = string | number | boolean

/** The comparisons, as they are spelled in a caveat and on the command line. */
export const OPERATORS = ['=', '!=', '<', '<=', '>', '>=', 'in', 'prefix'] as const

/** One of {@link OPERATORS}. */
export type Operator = (typeof OPERATORS)[number]

/**
 * One rule. The path names an argument, or a member of an argument that is an object, with dots between: `filter.state`.
 * A rule says nothing about calls of other tools.
 */
export type ArgumentRule =
  | readonly [tool: string, path: string, operator: '=' | '!=', operand: Scalar]
  | readonly [tool: string, path: string, operator: '<' | '<=' | '>' | '>=', operand: number]
  | readonly [tool: string, path: string, operator: 'in', operand: readonly Scalar[]]
  | readonly [tool: string, path: string, operator: 'prefix', operand: string]

/** The arguments of a call, as JSON has them. */
export type Arguments = Readonly<Record<string, unknown>>

/** How many rules one caveat may hold. */
export const MAX_RULES = 32

const LONGEST_PATH = 128
const LONGEST_TEXT_BYTES = 1024
const MOST_CHOICES = 64
const PATH = /^[A-Za-z0-9_$@-]+(?:\.[A-Za-z0-9_$@-]+)*$/

/** Tells whether a value is a rule in its JSON form. */
export function isArgumentRule(value: unknown): value is ArgumentRule {
  if (!Array.isArray(value) || value.length !== 4) return false
  const [tool, path, operator, operand] = value as readonly unknown[]
  return typeof tool === 'string' && isToolName(tool) && isArgumentPath(path) && isOperand(operator, operand)
}

/** Tells whether a text can name an argument: letters, digits and `_ $ @ -` with single dots between, at most 128. */
export function isArgumentPath(path: unknown): path is string {
  return typeof path === 'string' && path.length <= LONGEST_PATH && PATH.test(path)
}

/**
 * Tells whether a call keeps to a rule about its tool: the value must be there, be of the operand's type, and compare.
 *
 * A number beyond 2^53 - 1 never does, since another program may read it as another number.
 */
export function keepsRule(args: Arguments, [, path, operator, operand]: ArgumentRule): boolean {
  const value = lookUp(args, path)
  switch (operator) {
    case '=':
      return isSame(value, operand)
    case '!=':
      return isScalar(value) && typeof value === typeof operand && value !== operand
    case 'in':
      return operand.some((choice) => isSame(value, choice))
    case 'prefix':
      return typeof value === 'string' && value.startsWith(operand)
    default:
      return isNumber(value) && compares(value, operator, operand)
  }
}

/** Prints a rule for people, in the spelling of `--arg`: `web_search:num_results <= 5`. */
export function formatRule([tool, path, operator, operand]: ArgumentRule): string {
  return `${tool}:${path} ${operator} ${JSON.stringify(operand)}`
}

function compares(value: number, operator: '<' | '<=' | '>' | '>=', operand: number): boolean {
  switch (operator) {
    case '<':
      return value < operand
    case '<=':
      return value <= operand
    case '>':
      return value > operand
    case '>=':
      return value >= operand
  }
}

/** Follows own members of objects only: nothing inherited, and nothing inside of arrays. */
function lookUp(args: Arguments, path: string): unknown {
  let value: unknown = args
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, name)) {
      return undefined
    }
    value = (value as Arguments)[name]
  }
  return value
}

function isSame(value: unknown, operand: Scalar): boolean {
  return isScalar(value) && value === operand
}

function isOperand(operator: unknown, operand: unknown): boolean {
  switch (operator) {
    case '=':
    case '!=':
      return isWrittenScalar(operand)
    case '<':
    case '<=':
    case '>':
    case '>=':
      return isNumber(operand)
    case 'in':
      return (
        Array.isArray(operand) && operand.length > 0 && operand.length <= MOST_CHOICES && operand.every(isWrittenScalar)
      )
    case 'prefix':
      return operand !== '' && typeof operand === 'string' && isWrittenScalar(operand)
    default:
      return false
  }
}

function isWrittenScalar(value: unknown): boolean {
  return isScalar(value) && (typeof value !== 'string' || Buffer.byteLength(value) <= LONGEST_TEXT_BYTES)
}

function isScalar(value: unknown): value is Scalar {
  return typeof value === 'string' || typeof value === 'boolean' || isNumber(value)
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Math.abs(value) <= Number.MAX_SAFE_INTEGER
}
