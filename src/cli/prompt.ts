/**
 * Questions on the terminal, drawn on stderr so that stdout stays clean for data.
 *
 * @module
 */

import { confirm, password } from '@inquirer/prompts'
import { VaultError } from '../errors.js'
import type { Prompter } from './context.js'
import { visible } from './visible.js'

/** What the prompter needs of the process. */
export interface PromptProcess {
  readonly stdin: NodeJS.ReadStream
  readonly stderr: NodeJS.WriteStream
  on(signal: NodeJS.Signals, listener: () => void): unknown
  off(signal: NodeJS.Signals, listener: () => void): unknown
}

const SIGNALS = { SIGINT: 2, SIGQUIT: 3, SIGTERM: 15, SIGHUP: 1 } as const

/**
 * Makes the prompter of a terminal. While it asks, INT, TERM, HUP and QUIT end the question, which puts the terminal's
 * echo back, and become CANCELLED with the exit status 128 + signal.
 */
export function createPrompter(world: PromptProcess): Prompter {
  return {
    hidden: (question) =>
      ask(world, (context) => password({ message: visible(question), mask: false, toggleMask: false }, context)),
    confirm: (question) => ask(world, (context) => confirm({ message: visible(question), default: false }, context)),
  }
}

interface AskContext {
  readonly input: NodeJS.ReadStream
  readonly output: NodeJS.WriteStream
  readonly signal: AbortSignal
}

async function ask<T>(world: PromptProcess, question: (context: AskContext) => Promise<T>): Promise<T> {
  const abort = new AbortController()
  let exitCode = 130
  const listeners = Object.entries(SIGNALS).map(([name, number]) => {
    const listener = (): void => {
      exitCode = 128 + number
      abort.abort()
    }
    return [name as NodeJS.Signals, listener] as const
  })
  for (const [name, listener] of listeners) world.on(name, listener)
  try {
    return await question({ input: world.stdin, output: world.stderr, signal: abort.signal })
  } catch (error) {
    if (!isCancelled(error)) throw error
    throw new VaultError('CANCELLED', 'cancelled', { exitCode })
  } finally {
    for (const [name, listener] of listeners) world.off(name, listener)
  }
}

function isCancelled(error: unknown): boolean {
  return error instanceof Error && (error.name === 'ExitPromptError' || error.name === 'AbortPromptError')
}
