/**
 * Questions on the terminal, drawn on stderr so that stdout stays clean for data.
 *
 * This file is loaded by the hot commands' bundle and by the rest alike, each with classes of its own, so it reports a
 * cancelled question as a value and throws no error of ours.
 *
 * @module
 */

import { confirm, password } from '@inquirer/prompts'
import { visible } from './visible.js'

/** What the prompter needs of the process. */
export interface PromptProcess {
  readonly stdin: NodeJS.ReadStream
  readonly stderr: NodeJS.WriteStream
  on(signal: NodeJS.Signals, listener: () => void): unknown
  off(signal: NodeJS.Signals, listener: () => void): unknown
}

/** An answer, or the number of the signal that ended the question; Ctrl-C is 2. */
export type Answer<T> = { readonly answer: T } | { readonly signal: number }

/** Asks, each question once. */
export interface TerminalPrompter {
  hidden(question: string): Promise<Answer<string>>
  confirm(question: string): Promise<Answer<boolean>>
}

const SIGNALS = { SIGINT: 2, SIGQUIT: 3, SIGTERM: 15, SIGHUP: 1 } as const

/**
 * Makes the prompter of a terminal. While it asks, INT, TERM, HUP and QUIT end the question, which puts the terminal's
 * echo back.
 */
export function createPrompter(world: PromptProcess): TerminalPrompter {
  return {
    hidden: (question) =>
      // A key that shows what was typed is one slip away from showing a secret to the room.
      ask(world, (context) => password({ message: visible(question), mask: false, toggleMask: false }, context)),
    confirm: (question) => ask(world, (context) => confirm({ message: visible(question), default: false }, context)),
  }
}

interface AskContext {
  readonly input: NodeJS.ReadStream
  readonly output: NodeJS.WriteStream
  readonly signal: AbortSignal
}

async function ask<T>(world: PromptProcess, question: (context: AskContext) => Promise<T>): Promise<Answer<T>> {
  const abort = new AbortController()
  let signal: number = SIGNALS.SIGINT
  const listeners = Object.entries(SIGNALS).map(([name, number]) => {
    const listener = (): void => {
      signal = number
      abort.abort()
    }
    return [name as NodeJS.Signals, listener] as const
  })
  for (const [name, listener] of listeners) world.on(name, listener)
  try {
    const answer = await question({ input: world.stdin, output: world.stderr, signal: abort.signal })
    return { answer }
  } catch (error) {
    if (!isCancelled(error)) throw error
    return { signal }
  } finally {
    for (const [name, listener] of listeners) world.off(name, listener)
  }
}

function isCancelled(error: unknown): boolean {
  return error instanceof Error && (error.name === 'ExitPromptError' || error.name === 'AbortPromptError')
}
