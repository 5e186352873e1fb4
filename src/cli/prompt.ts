/**
 * Questions on the terminal, drawn on stderr so that stdout stays clean for data.
 *
 * This file is loaded by the hot commands' bundle and by the rest alike, each with classes of its own, so it reports a
 * cancelled question as a value and throws no error of ours.
 *
 * @module
 */

import { confirm, input, password, search } from '@inquirer/prompts'
import { visible } from './visible.js'

/** What the prompter needs of the process. */
export interface PromptProcess {
  readonly stdin: NodeJS.ReadStream
  readonly stderr: NodeJS.WriteStream
  on(signal: NodeJS.Signals, listener: () => void): unknown
  off(signal: NodeJS.Signals, listener: () => void): unknown
}

/**
 * An answer, or the number of the signal that ended the question (Ctrl-C is 2), or that several lines were pasted: then
 * all of them have been swallowed, so that none is echoed by the shell or run by it.
 */
export type Answer<T> = { readonly answer: T } | { readonly signal: number } | { readonly isPaste: true }

/** Asks, each question once. */
export interface TerminalPrompter {
  hidden(question: string): Promise<Answer<string>>
  text(question: string): Promise<Answer<string>>
  search(question: string, choicesFor: (typed: string) => readonly string[]): Promise<Answer<string>>
  confirm(question: string): Promise<Answer<boolean>>
}

const SIGNALS = { SIGINT: 2, SIGQUIT: 3, SIGTERM: 15, SIGHUP: 1 } as const

/**
 * Makes the prompter of a terminal. While it asks, INT, TERM, HUP and QUIT end the question, which puts the terminal's
 * echo back.
 */
export function createPrompter(world: PromptProcess): TerminalPrompter {
  return {
    hidden: async (question) => {
      const watch = watchForPaste(world.stdin)
      try {
        // A key that shows what was typed is one slip away from showing a secret to the room.
        const given = await ask(world, (context) =>
          password({ message: visible(question), mask: false, toggleMask: false }, context),
        )
        if (!('answer' in given)) return given
        return (await watch.sawMore()) ? { isPaste: true } : given
      } finally {
        watch.end()
      }
    },
    text: (question) => ask(world, (context) => input({ message: visible(question) }, context)),
    search: (question, choicesFor) =>
      ask(world, (context) => {
        const source = (typed: string | undefined) =>
          choicesFor(typed ?? '').map((value) => ({ value, name: visible(value) }))
        return search({ message: visible(question), source }, context)
      }),
    confirm: (question) => ask(world, (context) => confirm({ message: visible(question), default: false }, context)),
  }
}

const LINE_FEED = 0x0a
const RETURN = 0x0d
/** How long a terminal may be silent in the middle of a paste, in milliseconds. */
const PASTE_PAUSE_MS = 80

/** Watches a terminal for input behind the line that answers a question. */
function watchForPaste(stdin: NodeJS.ReadStream): { sawMore(): Promise<boolean>; end(): void } {
  let isEnded = false
  let hasMore = false
  const listen = (chunk: Buffer | string): void => {
    const bytes = Buffer.from(chunk)
    const at = bytes.findIndex((byte) => byte === LINE_FEED || byte === RETURN)
    hasMore ||= isEnded || (at >= 0 && bytes.subarray(at + 1).some((byte) => byte !== LINE_FEED))
    isEnded ||= at >= 0
  }
  stdin.on('data', listen)
  return {
    async sawMore() {
      isEnded = true
      // Without echo and line by line no more: what is still to come must reach nobody.
      stdin.setRawMode(true)
      stdin.resume()
      await silence(stdin)
      stdin.pause()
      stdin.setRawMode(false)
      return hasMore
    },
    end() {
      stdin.off('data', listen)
    },
  }
}

/** Waits until nothing has come for a while. */
async function silence(stdin: NodeJS.ReadStream): Promise<void> {
  await new Promise<void>((resolve) => {
    let timer = setTimeout(finish, PASTE_PAUSE_MS)
    function restart(): void {
      clearTimeout(timer)
      timer = setTimeout(finish, PASTE_PAUSE_MS)
    }
    function finish(): void {
      stdin.off('data', restart)
      resolve()
    }
    stdin.on('data', restart)
  })
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
