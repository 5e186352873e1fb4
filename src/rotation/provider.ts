import { isUtf8 } from 'node:buffer'
import { VaultError } from '../errors.js'
import { createRedactor } from '../redact/forms.js'
import { Secret } from '../secret.js'
import { MAX_VALUE_BYTES } from '../vault/vault.js'
import { generateValue } from './generated-value.js'
import { jsonLine, type ProgramEnd, programError, type RotationWorld, runProgram, secretMember } from './programs.js'
import { type Showing, showPrinted } from './printed.js'
import type { Argv, ProviderSpec } from './spec.js'

/** What a provider is told of the rotation. */
export interface ProviderRequest {
  readonly credential: string
  /** The version that is made or revoked; undefined where the format has none. */
  readonly version: number | undefined
  /** The same for every try of one rotation. */
  readonly idempotencyKey: string
  /** The value that is live; not wiped here. */
  readonly current: Secret | undefined
}

/** What revoking takes beside it. */
export interface RevokeRequest extends ProviderRequest {
  /** What the provider called the value when it made it. */
  readonly handle?: string | undefined
  /** The value that is to be revoked, for a provider that has no handle of it; not wiped here. */
  readonly revoked?: Secret | undefined
}

/** A value that a provider has made. */
export interface CreatedValue {
  readonly value: Secret
  /** What the provider calls it; never a form of the value, since it is kept in the clear. */
  readonly handle?: string
  /** Whether the provider gives the same value again for the same idempotency key. */
  readonly idempotent: boolean
}

/** A value of a MiB, written as \uXXXX, and room for the rest. */
const MAX_ANSWER_BYTES = 7 * 1024 * 1024
const MAX_HANDLE_BYTES = 1024
const MAX_REVOKE_BYTES = 64 * 1024
/** Longer answers are not searched for what might be secret in them: then nothing of stderr is shown. */
const MAX_SEARCHED_BYTES = 16 * 1024

/**
 * Obtains a new value.
 *
 * Nothing that the program answers reaches an error, and what it writes on stderr is shown without the values.
 *
 * @throws {VaultError} ROTATION if there is no usable new value.
 */
export async function createValue(
  spec: ProviderSpec,
  request: ProviderRequest,
  world: RotationWorld,
): Promise<CreatedValue> {
  if (spec.kind === 'generate') return { value: generateValue(spec.length, world), idempotent: true }
  const action = `create a new value of "${request.credential}"`
  if (spec.kind === 'manual') throw new VaultError('ROTATION', `cannot ${action}: a person has to give it`)
  const end = await ask(spec.argv, { step: 'create', ...request }, { maxAnswerBytes: MAX_ANSWER_BYTES, world })
  const { failure } = end
  const answer = failure === undefined ? readCreated(end.answer, request.current) : failure
  const isRefused = failure !== undefined && REFUSALS.test(failure) && end.answer.length === 0
  showCreateOutput(end, { answer, current: request.current, world })
  end.answer.fill(0)
  if (typeof answer !== 'string') return answer
  const error = programError(action, { role: 'provider', argv: spec.argv, reason: answer })
  if (isRefused) refusals.add(error)
  throw error
}

/** A program that says so by its status, and answers nothing, has made nothing. */
const REFUSALS = /^(exited with status|could not be started)/

const refusals = new WeakSet<VaultError>()

/** Tells whether a failure of {@link createValue} means that nothing was made; after any other something may have been. */
export function isRefusal(error: VaultError): boolean {
  return refusals.has(error)
}

/**
 * Revokes a value where it was made. Returning means that the provider has confirmed it; `generate` has nobody to tell.
 *
 * @throws {VaultError} ROTATION if it did not confirm.
 */
export async function revokeValue(spec: ProviderSpec, request: RevokeRequest, world: RotationWorld): Promise<void> {
  if (spec.kind === 'generate') return
  const version = request.version === undefined ? 'the old value' : `version ${request.version}`
  const action = `revoke ${version} of "${request.credential}"`
  if (spec.kind === 'manual') {
    throw new VaultError('ROTATION', `cannot ${action}: a person has to do that`, {
      hints: [`mcpvault rotate --retired ${request.credential}`],
    })
  }
  const secrets = [request.current, request.revoked].filter((secret) => secret !== undefined)
  const showing: Showing = { role: 'provider', secrets, world }
  const end = await ask(spec.argv, { step: 'revoke', ...request }, { maxAnswerBytes: MAX_REVOKE_BYTES, showing, world })
  const reason = end.failure ?? (isConfirmation(end.answer) ? undefined : 'did not answer {}, which confirms it')
  end.answer.fill(0)
  if (reason !== undefined) throw programError(action, { role: 'provider', argv: spec.argv, reason })
}

interface Asking {
  readonly maxAnswerBytes: number
  readonly showing?: Showing
  readonly world: RotationWorld
}

async function ask(
  argv: Argv,
  request: RevokeRequest & { readonly step: string },
  { world, ...limits }: Asking,
): Promise<ProgramEnd> {
  const stdin = jsonLine({
    step: request.step,
    credential: request.credential,
    version: request.version,
    idempotency_key: request.idempotencyKey,
    ...secretMember('current', request.current),
    handle: request.handle,
    ...secretMember('revoked', request.revoked),
  })
  try {
    return await runProgram(argv, { stdin, ...limits }, world)
  } finally {
    stdin.fill(0)
  }
}

/** Gives the value of an answer, or what is wrong with it in words that quote nothing of it. */
function readCreated(bytes: Buffer, current: Secret | undefined): CreatedValue | string {
  const answer = parseObject(bytes)
  if (answer === undefined) return 'did not answer with one JSON object'
  const { value, handle, idempotent = false, ...rest } = answer
  if (Object.keys(rest).length > 0) return 'answered with other members than value, handle and idempotent'
  if (typeof idempotent !== 'boolean') return 'answered with a member "idempotent" that is not true or false'
  const wrong = wrongValue(value)
  if (typeof value !== 'string' || wrong !== undefined) return wrong ?? 'answered without a value'
  const secret = Secret.fromText(value)
  if (current?.reveal().equals(secret.reveal())) return 'answered with the value that is live already'
  if (handle === undefined) return { value: secret, idempotent }
  if (typeof handle !== 'string' || handle === '') return 'answered with a handle that is not a text'
  if (Buffer.byteLength(handle) > MAX_HANDLE_BYTES || !isPlain(handle)) {
    return `answered with a handle that is longer than ${MAX_HANDLE_BYTES} bytes or holds control characters`
  }
  const known = current === undefined ? [secret] : [secret, current]
  if (createRedactor(known)(handle) !== handle) return 'answered with a handle that contains the value'
  return { value: secret, handle, idempotent }
}

function wrongValue(value: unknown): string | undefined {
  if (typeof value !== 'string') return 'answered without a text as the value'
  if (value === '') return 'answered with an empty value'
  if (!value.isWellFormed() || value.includes('\0')) return 'answered with a value that holds a NUL or broken Unicode'
  if (/^[\s]|[\s]$/.test(value)) return 'answered with a value that begins or ends with white space'
  return Buffer.byteLength(value) > MAX_VALUE_BYTES ? 'answered with a value that is longer than 1 MiB' : undefined
}

function isPlain(text: string): boolean {
  return text.isWellFormed() && !/[\x00-\x1f\x7f-\x9f]/.test(text)
}

function isConfirmation(bytes: Buffer): boolean {
  const answer = parseObject(bytes)
  return answer !== undefined && Object.keys(answer).length === 0
}

function parseObject(bytes: Buffer): Readonly<Record<string, unknown>> | undefined {
  if (!isUtf8(bytes)) return undefined
  try {
    const answer: unknown = JSON.parse(bytes.toString('utf8'))
    const isObject = typeof answer === 'object' && answer !== null && !Array.isArray(answer)
    return isObject ? (answer as Readonly<Record<string, unknown>>) : undefined
  } catch {
    // JSON.parse quotes its input.
    return undefined
  }
}

interface Created {
  readonly answer: CreatedValue | string
  readonly current: Secret | undefined
  readonly world: RotationWorld
}

/**
 * Only now is it known what must not be shown: while it ran it may have printed the new value before it answered.
 *
 * A broken answer may hold a new value all the same, which must not be shown when stderr repeats it.
 */
function showCreateOutput(end: ProgramEnd, { answer, current, world }: Created): void {
  const known = current === undefined ? [] : [current]
  if (typeof answer !== 'string') {
    showPrinted(end, { role: 'provider', secrets: [...known, answer.value], world })
  } else if (end.answer.length <= MAX_SEARCHED_BYTES) {
    showPrinted(end, { role: 'provider', secrets: [...known, ...possibleValues(end.answer)], world })
  } else if (end.printed.length > 0) {
    world.say('provider: (what it printed is not shown, since its answer was broken and long)')
  }
}

function possibleValues(stdout: Buffer): readonly Secret[] {
  const words = stdout.toString('utf8').match(/[^\s"'\\{}[\],:]{6,}/g) ?? []
  return [...new Set(words)].filter((word) => !/^(handle|idempotent)$/.test(word)).map((word) => Secret.fromText(word))
}
