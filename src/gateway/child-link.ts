/** A child process with the credentials that it was started with, as the transport of the SDK's client. */

import { basename } from 'node:path'
import type { JSONRPCMessage, Transport } from '@modelcontextprotocol/client'
import { VaultError } from '../errors.js'
import { childEnvironment } from '../exec/environment.js'
import { SecretForms } from '../redact/find.js'
import { Secret } from '../secret.js'
import type { AuditLog } from './audit.js'
import { Child, type ProcessGroup } from './child-process.js'
import { ChildStderr } from './child-stderr.js'
import type { StdioUpstreamConfig } from './config.js'
import type { CredentialLoader, LeakListener, Lease } from './credentials.js'
import { fillTemplate } from './template.js'
import type { CredentialUse } from './upstream.js'

/** The log that a child's words go to. */
export interface ChildLog {
  info(message: string, members?: Readonly<Record<string, string | number>>): void
  warn(message: string): void
}

/** What children need of the world. */
export interface ChildWorld {
  /** The environment that children inherit, less what is mcpvault's own. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly guardGroup: (start: () => number | undefined) => ProcessGroup
  readonly monotonicMs: () => number
}

/** What a child is started with. */
export interface ChildParts {
  readonly loader: CredentialLoader
  readonly audit: Pick<AuditLog, 'start' | 'result'>
  readonly onLeak: LeakListener
  readonly log: ChildLog
  readonly world: ChildWorld
}

/** A child as the SDK's client sees it. With `stderr` and `pid` it is known for a program, not a network. */
export class ChildLink implements Transport {
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: (message: JSONRPCMessage) => void
  onEnd: ((how: string) => void) | undefined
  /** Takes messages as they were written. */
  onText: ((text: string, message: object) => void) | undefined
  child: Child | undefined
  readonly stderr = null
  /** How it has ended. */
  how: string | undefined
  /** Why it could not be started. */
  failure: unknown
  readonly #config: StdioUpstreamConfig
  readonly #lease: Lease
  readonly #parts: ChildParts
  readonly #forms: SecretForms
  readonly #stderr: ChildStderr
  readonly #startMs: number
  /** Undefined once its end stands in the audit log. */
  #auditId: string | undefined
  #oddLines = 0
  #delivered: Promise<void> = Promise.resolve()

  /** @throws {VaultError} IO, UNSAFE if the start cannot be recorded, and as `lease` */
  constructor(config: StdioUpstreamConfig, parts: ChildParts) {
    const { loader, audit, onLeak, world } = parts
    const [upstream, place] = [config.name, basename(config.command)]
    this.#startMs = world.monotonicMs()
    this.#auditId = audit.start({ upstream, place, credentials: loader.uses(config.credentials) })
    this.#config = config
    this.#parts = parts
    try {
      this.#lease = loader.lease(config.credentials, { onLeak })
    } catch (error) {
      this.failure = error
      this.#recordEnd()
      throw error
    }
    const secrets = config.credentials.map((name) => Secret.fromText(this.#lease.value(name)))
    this.#forms = new SecretForms(secrets)
    for (const secret of secrets) secret.wipe()
    this.#stderr = this.#readStderr()
  }

  get uses(): readonly CredentialUse[] {
    return this.#lease.uses
  }

  get pid(): number | null {
    return this.child?.pid ?? null
  }

  get hasEndedItself(): boolean {
    return this.child?.hasEndedItself ?? false
  }

  async start(): Promise<void> {
    try {
      await this.#start()
    } catch (error) {
      this.failure = error
      throw error
    }
  }

  async #start(): Promise<void> {
    const { command, args, name } = this.#config
    const { env, guardGroup } = this.#parts.world
    const own = this.#config.env.map(([variable, template]) => [variable, this.#fill(variable, template)] as const)
    this.child = await Child.start({
      command,
      args,
      env: { ...childEnvironment(env), ...Object.fromEntries(own) },
      guardGroup,
      onLine: (line) => this.#take(line),
      onStderr: (chunk) => this.#stderr.push(chunk),
      onEnd: (how) => this.#ended(how),
    })
    this.#parts.log.info('started', { upstream: name, pid: this.child.pid })
  }

  async send(message: JSONRPCMessage): Promise<void> {
    this.child?.write(JSON.stringify(message))
  }

  async close(): Promise<void> {
    await this.child?.end()
  }

  release(): void {
    this.#lease.release()
    this.#forms.wipe()
    this.#recordEnd()
  }

  /** The credentials have been in its hands until now. */
  #recordEnd(): void {
    const id = this.#auditId
    if (id === undefined) return
    this.#auditId = undefined
    const { audit, log, world } = this.#parts
    const { failure } = this
    const reason = failure instanceof VaultError ? failure.message : this.how
    const outcome = failure === undefined && !this.hasEndedItself ? 'ok' : 'failed'
    try {
      audit.result(id, { outcome, reason, ms: Math.round(world.monotonicMs() - this.#startMs) })
    } catch {
      log.warn(`the end of "${this.#config.name}" could not be recorded in the audit log`)
    }
  }

  #fill(variable: string, template: StdioUpstreamConfig['env'][number][1]): string {
    const text = fillTemplate(template, this.#lease)
    if (!text.includes('\0')) return text
    throw new VaultError('INPUT', `cannot start "${this.#config.name}": "${variable}" would hold a NUL byte`)
  }

  #take(line: string): void {
    const text = this.#redact(line)
    if (text === undefined) return
    const message = parseMessage(text)
    if (message !== undefined) {
      this.onText?.(text, message)
      this.#deliver(message)
      return
    }
    this.#oddLines += 1
    if (this.#oddLines > 1) return
    this.#parts.log.warn(`"${this.#config.name}" writes lines on its stdout that are no messages: they are passed over`)
  }

  /** What cannot be held against the values that are live is not handed on, and whoever waits for it is told. */
  #redact(line: string): string | undefined {
    try {
      return this.#lease.redactMessage(line)
    } catch (error) {
      this.failure ??= error
      const reason = error instanceof VaultError ? error.message : 'internal'
      this.#parts.log.warn(`what "${this.#config.name}" said was withheld, and it was ended: ${reason}`)
      this.child?.kill('what it said could not be redacted')
      return undefined
    }
  }

  /**
   * Hands messages to the SDK's client one after the other: it takes an answer at once but a notification in a moment, and
   * drops the progress that came in one piece with the answer.
   */
  #deliver(message: JSONRPCMessage): void {
    this.#delivered = this.#delivered.then(() => this.onmessage?.(message)).catch((error) => this.onerror?.(error))
  }

  #readStderr(): ChildStderr {
    const { log, world } = this.#parts
    const upstream = this.#config.name
    return new ChildStderr({
      forms: this.#forms,
      writeLine: (line) => log.info('stderr', { upstream, line }),
      onLeftOut: (lines) => log.warn(`${lines} lines of "${upstream}" were left out of this log`),
      onFound: (index) => {
        const use = this.#lease.uses[index]
        if (use !== undefined) this.#parts.onLeak(use)
      },
      pause: (ms) => this.child?.pauseStderr(ms),
      monotonicMs: () => world.monotonicMs(),
    })
  }

  #ended(how: string): void {
    this.how = how
    this.#stderr.end()
    this.#parts.log.info('ended', { upstream: this.#config.name, pid: this.child?.pid ?? 0, how })
    this.release()
    this.onclose?.()
    this.onEnd?.(how)
  }
}

function parseMessage(line: string): JSONRPCMessage | undefined {
  if (!line.trimStart().startsWith('{')) return undefined
  try {
    const value: unknown = JSON.parse(line)
    const isMessage = typeof value === 'object' && value !== null && 'jsonrpc' in value && value.jsonrpc === '2.0'
    return isMessage ? (value as JSONRPCMessage) : undefined
  } catch {
    return undefined
  }
}
