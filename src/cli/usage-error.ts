import type { CommanderError } from 'commander'
import { VaultError } from '../errors.js'
import { GLOBAL_FLAGS } from './flags.js'

/**
 * Translates what commander refuses. An argument may be a secret that was typed in the wrong place, so a message quotes
 * a flag's name and nothing else of the command line.
 *
 * @param path The words of the command, for the hint.
 */
export function toUsageError(error: CommanderError, path: readonly string[]): VaultError {
  const [first = '', second = ''] = error.message.split('\n')
  const suggestion = /^\(Did you mean (?:one of )?([^,?]+)/.exec(second)?.[1]
  const hints = suggestion ? [`did you mean "${suggestion}"?`] : [['mcpvault help', ...path].join(' ')]
  return new VaultError('USAGE', `cannot read the command line: ${reasonOf(error.code, first, suggestion)}`, { hints })
}

function reasonOf(code: string, message: string, suggestion: string | undefined): string {
  switch (code) {
    case 'commander.unknownOption':
      return describeUnknown(message, suggestion)
    case 'commander.unknownCommand':
      return suggestion ? `there is no command "${quotedIn(message)}"` : 'there is no such command'
    case 'commander.optionMissingArgument':
      return `the flag "${
        quotedIn(message)
          .replace(/^-\w, /, '')
          .split(' ')[0]
      }" needs a value`
    case 'commander.missingMandatoryOptionValue':
      return `the flag "${quotedIn(message)}" is needed`
    case 'commander.missingArgument':
      return `the argument ${quotedIn(message).toUpperCase()} is missing`
    default:
      return 'it is not understood'
  }
}

/** An unknown flag may be a secret that was typed in the wrong place: only near misses of known flags are quoted. */
function describeUnknown(message: string, suggestion: string | undefined): string {
  const name = /'(--[a-z-]+)=/.exec(message)?.[1]
  if (name !== undefined && GLOBAL_FLAGS.some(({ long }) => long === name)) return `the flag "${name}" takes no value`
  return suggestion ? `there is no flag ${quoteFlag(message)}` : 'there is no such flag'
}

function quotedIn(message: string): string {
  return /'([^']*)'/.exec(message)?.[1] ?? ''
}

/** Quotes the name of a flag: what stands before `=`, or one letter, in case that a value is glued to it. */
function quoteFlag(message: string): string {
  const word = message.slice(message.indexOf("'") + 1)
  const name = /^--[a-z][a-z0-9-]{0,30}(?=[='])/i.exec(word)?.[0] ?? /^-[a-z](?=.)/i.exec(word)?.[0]
  if (name === undefined) return 'of that name'
  return word.startsWith(`${name}=`) ? `"${name}" with a value` : `"${name}"`
}
