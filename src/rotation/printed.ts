/**
 * What programs print for people: shown line by line, without the secrets, and no more of it than anybody reads.
 *
 * @module
 */

import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import { SecretForms } from '../redact/find.js'
import { createRedactor, redactionForms } from '../redact/forms.js'
import { StreamRedactor } from '../redact/stream.js'
import type { Secret } from '../secret.js'
import type { ProgramEnd, ProgramRole, RotationWorld } from './programs.js'

/** The most that is kept or shown of what a program prints, in bytes. */
export const MAX_PRINTED_BYTES = 64 * 1024

/** Whose output is shown, and what must not be in it. */
export interface Showing {
  readonly role: ProgramRole
  readonly secrets: readonly Secret[]
  readonly world: Pick<RotationWorld, 'say'>
}

/** Shows lines as they come; a secret is found across the chunks of its stream. */
export class LiveLines {
  readonly #showing: Showing
  readonly #forms: SecretForms
  readonly #streams: { readonly stream: Readable; readonly end: () => void }[] = []
  #room = MAX_PRINTED_BYTES
  /** Bytes that came, shown or not. */
  seen = 0

  constructor(showing: Showing) {
    this.#showing = showing
    this.#forms = new SecretForms(showing.secrets)
  }

  add(stream: Readable | null): void {
    if (stream === null) return
    const redactor = new StreamRedactor(this.#forms)
    const decoder = new StringDecoder('utf8')
    let rest = ''
    const take = (bytes: Buffer): void => {
      const shown = bytes.subarray(0, Math.max(0, this.#room))
      this.#room -= bytes.length
      const lines = (rest + decoder.write(shown)).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) this.#show(line)
    }
    stream.on('error', () => {})
    stream.on('data', (chunk: Buffer) => {
      this.seen += chunk.length
      // The rest is read, so that the program is not kept waiting, and dropped.
      if (this.#room >= 0) take(redactor.write(chunk))
      chunk.fill(0)
    })
    const end = (): void => {
      if (this.#room >= 0) take(redactor.end())
      this.#show(rest + decoder.end())
    }
    this.#streams.push({ stream, end })
  }

  /** Shows what has no line end and listens no longer. */
  end(): void {
    for (const { stream, end } of this.#streams) {
      stream.destroy()
      end()
    }
    this.#forms.wipe()
    const { role, world } = this.#showing
    if (this.#room < 0) world.say(`${role}: (it printed more than is shown)`)
  }

  #show(line: string): void {
    const { role, world } = this.#showing
    if (line.trim() !== '') world.say(`${role}: ${line.replace(/\r$/, '')}`)
  }
}

/** Shows what a program has printed, for one whose secrets were not known before its end. */
export function showPrinted(end: Pick<ProgramEnd, 'printed' | 'isCut'>, { role, secrets, world }: Showing): void {
  const redacted = createRedactor(secrets)(end.printed.toString('utf8'))
  const text = end.isCut ? redacted.slice(0, -longestForm(secrets)) : redacted
  end.printed.fill(0)
  for (const line of text.split(/\r?\n/)) {
    if (line.trim() !== '') world.say(`${role}: ${line}`)
  }
  if (end.isCut) world.say(`${role}: (it printed more than is shown)`)
}

/** The last of what was kept may be the beginning of a secret, which nothing recognises: so many characters are dropped. */
function longestForm(secrets: readonly Secret[]): number {
  const lengths = secrets.flatMap((secret) => redactionForms(secret.reveal()).map((form) => form.length))
  return Math.max(1, ...lengths)
}
