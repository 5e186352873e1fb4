/**
 * Runs one program as if it stood in the place of mcpvault: its streams, its signals, its exit status.
 *
 * @module
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import type { Readable } from 'node:stream'
import { isSystemError, VaultError } from '../errors.js'
import type { SecretForms } from '../redact/find.js'
import { StreamRedactor } from '../redact/stream.js'
import { describeSystemError } from '../storage/io-error.js'
import { createPipes, type SystemPipe } from './pipe.js'
import type { FolderWorld } from './private-folder.js'
import { isEnding, type SignalRelay } from './signals.js'
import { TypedSignals } from './typed-signals.js'

/** Where masked output goes. */
export interface Sink {
  /** Writes all of it, later; resolves when the next may come. @throws {VaultError} IO */
  write(bytes: Buffer): Promise<void>
  /** Whether nobody reads any more. */
  isClosed(): boolean
}

/** How a program is run. */
export interface RunOptions {
  readonly env: Record<string, string>
  readonly world: FolderWorld
  /** Tells of the signals that are meant for the program. */
  readonly relay: SignalRelay
  /** Takes these forms out of the program's output; without it the program has our streams themselves. */
  readonly mask?: { readonly forms: SecretForms; readonly stdout: Sink; readonly stderr: Sink } | undefined
}

/** How a program has ended. */
export interface RunEnd {
  /** Its exit status, or 128 and the number of the signal that has ended it. */
  readonly status: number
  /** Which of the masked secrets were in its output. */
  readonly found: ReadonlySet<number>
}

const OUTPUTS = ['stdout', 'stderr'] as const
const CANNOT_EXECUTE = 126
const NOT_FOUND = 127

/**
 * Runs a program without a shell and waits for its end, and for the end of its output if that is masked.
 *
 * @throws {VaultError} with the exit status 127 if there is no such program, 126 if it cannot be run; IO if masked output
 * cannot be written
 */
export async function runForeground(argv: readonly string[], options: RunOptions): Promise<RunEnd> {
  const { mask, relay, world } = options
  const pipes = mask ? createPipes(OUTPUTS, world) : []
  const typed = new TypedSignals(world.host)
  let hasEnded = false
  try {
    const child = start(argv, options, pipes)
    relay.tell((name) => {
      if (hasEnded) {
        // Somebody else still has the other end of a pipe; who wants to go is not made to wait for that.
        if (isEnding(name)) for (const { reader } of pipes) reader.destroy()
      } else void typed.hasSpread(name).then((hasSpread) => hasSpread || child.kill(name))
    })
    const end = waitForEnd(child, argv).finally(() => {
      hasEnded = true
    })
    const outputs = mask ? OUTPUTS.map((name, index) => pass(pipes[index]?.reader, mask[name], mask.forms)) : []
    const [status, ...passed] = await settle(end, outputs)
    return { status, found: new Set(passed.flatMap((one) => [...one])) }
  } finally {
    for (const { reader } of pipes) reader.destroy()
    typed.end()
  }
}

/** Waits for everything, so that nothing is left running, and only then fails as the first failure did. */
async function settle(
  end: Promise<number>,
  outputs: readonly Promise<ReadonlySet<number>>[],
): Promise<[number, ...ReadonlySet<number>[]]> {
  await Promise.allSettled([end, ...outputs])
  return [await end, ...(await Promise.all(outputs))]
}

function start(argv: readonly string[], { env }: RunOptions, pipes: readonly SystemPipe[]): ChildProcess {
  const [file = '', ...args] = argv
  try {
    if (argv.some((word) => word.includes('\ufffd'))) {
      // Node has already replaced the bytes by then: the program would be given other words than were meant.
      throw cannotStart(file, 'its command line is not text in UTF-8', CANNOT_EXECUTE)
    }
    if (file === '') throw cannotStart(file, 'there is no such program', NOT_FOUND)
    const outputs = pipes.map(({ writerFd }) => writerFd)
    return spawn(file, args, { env, shell: false, stdio: outputs.length > 0 ? ['inherit', ...outputs] : 'inherit' })
  } catch (error) {
    throw error instanceof VaultError ? error : startError(error, file)
  } finally {
    for (const { closeWriter } of pipes) closeWriter()
  }
}

function waitForEnd(child: ChildProcess, argv: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on('error', (error) => {
      // Once it runs, an error is a signal that could not be sent, for which there is nobody to tell.
      if (child.pid === undefined) reject(startError(error, argv[0] ?? ''))
    })
    child.on('exit', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)))
  })
}

/** spawn's own messages quote the whole command line, so that its error is not even kept as the cause. */
function startError(error: unknown, file: string): VaultError {
  if (isSystemError(error, 'ENOENT', 'ENOTDIR')) return cannotStart(file, 'there is no such program', NOT_FOUND)
  if (isSystemError(error, 'EACCES')) return cannotStart(file, 'it may not be executed', CANNOT_EXECUTE)
  if (isSystemError(error, 'E2BIG')) {
    const hint = 'hand a large value over as a file: mcpvault exec --file VARIABLE=NAME -- …'
    return cannotStart(file, 'its arguments and environment are too large', CANNOT_EXECUTE, [hint])
  }
  return cannotStart(file, describeSystemError(error), CANNOT_EXECUTE)
}

function cannotStart(file: string, reason: string, exitCode: number, hints: readonly string[] = []): VaultError {
  const code = exitCode === NOT_FOUND ? 'NOT_FOUND' : 'INPUT'
  return new VaultError(code, `cannot start "${file}": ${reason}`, { exitCode, hints })
}

/** Passes output on until it ends or nobody reads it any more; then the program meets a closed pipe as it would alone. */
async function pass(source: Readable | undefined, sink: Sink, forms: SecretForms): Promise<ReadonlySet<number>> {
  const redactor = new StreamRedactor(forms)
  try {
    for await (const chunk of (source ?? []) as AsyncIterable<Buffer>) {
      const part = redactor.write(chunk)
      if (part.length > 0) await sink.write(part)
      if (sink.isClosed()) return redactor.found
    }
  } catch (error) {
    if (!isSystemError(error, 'ERR_STREAM_PREMATURE_CLOSE')) throw error
  }
  await sink.write(redactor.end())
  return redactor.found
}
