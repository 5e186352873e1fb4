/**
 * What can go wrong, as a closed list: codes are the API and stable for ever, messages may improve.
 *
 * @module
 */

/** The exit status of each error code (docs/exit-codes.md); 1 is missing because it is a question's "no". */
export const EXIT_CODES = {
  USAGE: 2,
  INPUT: 2,
  NOT_FOUND: 3,
  EXISTS: 4,
  UNAUTHORIZED: 4,
  RESTORED: 4,
  UNSAFE: 4,
  FOUND: 4,
  NO_KEY: 5,
  WRONG_KEY: 5,
  DAMAGED: 6,
  LOCKED: 7,
  UPSTREAM: 8,
  ROTATION: 8,
  IO: 9,
  DURABILITY: 9,
  INTERNAL: 70,
  CANCELLED: 130,
} as const satisfies Readonly<Record<string, number>>

/** A name for a kind of failure. */
export type ErrorCode = keyof typeof EXIT_CODES

/** What a {@link VaultError} may carry beside its message. */
export interface VaultErrorOptions {
  /** Commands that can be run as they stand, or one fact that points the way; most useful first. */
  readonly hints?: readonly string[]
  readonly cause?: unknown
  /** Overrides the code's exit status: where a signal cancelled the command (128 + n), where exec starts nothing (126, 127). */
  readonly exitCode?: number
}

/**
 * A failure the user can act on. Anything else that escapes is a bug.
 *
 * The message is lower case, without a full stop, says the action that failed and quotes public values only: never a
 * secret, its length or a piece of it.
 */
export class VaultError extends Error {
  override readonly name = 'VaultError'
  readonly code: ErrorCode
  readonly hints: readonly string[]
  readonly exitCode: number

  /** By name: the built program holds this class once in the hot commands' files and once in all others. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof Error && value.name === 'VaultError'
  }

  constructor(code: ErrorCode, message: string, options: VaultErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hints = options.hints ?? []
    this.exitCode = options.exitCode ?? EXIT_CODES[code]
  }
}

/** Tells whether a failure carries one of Node's system error codes such as `ENOENT`. */
export function isSystemError(error: unknown, ...codes: readonly string[]): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}
