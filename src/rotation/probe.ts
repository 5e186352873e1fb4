import { isUtf8 } from 'node:buffer'
import { sha256 } from '../crypto/kdf.js'
import { VaultError } from '../errors.js'
import { createRedactor } from '../redact/forms.js'
import { parseBaseUrl, search } from '../search/search.js'
import type { Secret } from '../secret.js'
import { shellWord } from '../shell-word.js'
import { readFileChecked } from '../storage/read-file.js'
import { fillTemplate, parseTemplate } from './http-template.js'
import {
  jsonLine,
  locateFile,
  programError,
  type RotationWorld,
  runProgram,
  secretMember,
  timeLimit,
} from './programs.js'
import { type Argv, parseProbe, type ProbeSpec } from './spec.js'

/** What a probe is told. */
export interface ProbeRequest {
  readonly credential: string
  /** Undefined where the format has none. */
  readonly version: number | undefined
  /** The value to try; not wiped here. */
  readonly value: Secret
}

const MAX_TEMPLATE_BYTES = 64 * 1024
const QUERY = 'model context protocol'

/**
 * Tries whether a value works. Returning means that it does.
 *
 * @throws {VaultError} ROTATION saying why it could not be shown to work; nothing that a program or a server said is
 * repeated but its status.
 */
export async function probeValue(spec: ProbeSpec, request: ProbeRequest, world: RotationWorld): Promise<void> {
  if (spec.kind === 'command') return probeByCommand(spec.argv, request, world)
  try {
    if (spec.kind === 'scavio') await probeBySearch(request.value, world)
    else await probeByRequest(spec, request, world)
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    throw new VaultError('ROTATION', `cannot ${actionOf(request)}: ${error.message}`, { hints: hintsOf(error) })
  }
}

function actionOf({ credential }: ProbeRequest): string {
  return `verify the new value of "${credential}"`
}

/** "Rotate it" is no advice within a rotation. */
function hintsOf({ hints }: VaultError): readonly string[] {
  return hints.filter((hint) => !hint.startsWith('mcpvault rotate'))
}

async function probeByCommand(argv: Argv, request: ProbeRequest, world: RotationWorld): Promise<void> {
  const { credential, version, value } = request
  const stdin = jsonLine({ step: 'verify', credential, version, ...secretMember('value', value) })
  const end = await runProgram(argv, { stdin, showing: { role: 'probe', secrets: [value], world } }, world)
  stdin.fill(0)
  if (end.failure !== undefined) throw programError(actionOf(request), { role: 'probe', argv, reason: end.failure })
}

async function probeBySearch(value: Secret, world: RotationWorld): Promise<void> {
  const baseUrl = parseBaseUrl(world.searchBaseUrl)
  await search(QUERY, { credential: value, baseUrl, numResults: 1, timeoutMs: Math.min(15_000, timeLimit(world)) })
}

async function probeByRequest(
  spec: HttpSpec,
  { credential, value }: ProbeRequest,
  world: RotationWorld,
): Promise<void> {
  const template = parseTemplate(readAccepted(spec, credential, world))
  const { method, url, headers, body } = fillTemplate(template, value)
  // Loaded here: undici is slow to load, and most rotations never need it.
  const { sendRequest } = await import('../http.js')
  const answer = await sendRequest(url, { method, headers, body, timeoutMs: timeLimit(world) })
  if (template.status.includes(answer.status)) return
  const host = createRedactor([value])(url.host)
  const redirect = answer.status >= 300 && answer.status <= 399 ? ', and redirects are not followed' : ''
  const expected = template.status.join(' or ')
  throw new VaultError('UPSTREAM', `"${host}" answered with status ${answer.status} instead of ${expected}${redirect}`)
}

type HttpSpec = Extract<ProbeSpec, { kind: 'http' }>
type Files = Pick<RotationWorld, 'directory' | 'home' | 'host'>

/**
 * Accepts a request template as it is now: whoever edits it later decides no longer where a value is sent.
 *
 * @throws {VaultError} INPUT if there is none or it is not usable, UNSAFE if it is another one than the SPEC says already.
 */
export function pinProbe(spec: ProbeSpec, credential: string, world: Files): ProbeSpec {
  if (spec.kind !== 'http') return spec
  const bytes = readTemplate(spec.file, world)
  const pinned = { ...spec, sha256: spec.sha256 ?? digestOf(bytes) }
  parseTemplate(readAccepted(pinned, credential, world))
  return pinned
}

/**
 * Refuses at the beginning of a rotation what its probe would refuse half-way: a request template that nobody has accepted.
 *
 * @throws {VaultError} INPUT if there is none, UNSAFE
 */
export function requirePinned(verify: string | undefined, credential: string, world: Files): void {
  const spec = verify === undefined ? undefined : parseProbe(verify)
  if (spec?.kind === 'http') readAccepted(spec, credential, world)
}

function readAccepted({ file, sha256: accepted }: HttpSpec, credential: string, world: Files): string {
  const bytes = readTemplate(file, world)
  if (digestOf(bytes) === accepted) return bytes.toString('utf8')
  const why = accepted === undefined ? 'nobody has accepted its content' : 'it is not the one that was accepted'
  const command = `mcpvault policy set ${shellWord(credential)} --verify ${shellWord(`http:@${file}`)}`
  throw new VaultError('UNSAFE', `cannot use the request template "${file}": ${why}`, {
    hints: ['it decides where the value is sent: look at it', `to accept it as it is now: ${command}`],
  })
}

function digestOf(bytes: Buffer): string {
  return sha256(bytes).toString('hex')
}

function readTemplate(file: string, world: Files): Buffer {
  // Whoever can write the template decides where the value is sent: readFileChecked refuses what others can write.
  const path = locateFile(file, world)
  const snapshot = readFileChecked(path, {
    what: 'request template',
    maxBytes: MAX_TEMPLATE_BYTES,
    host: world.host,
  })
  if (snapshot === undefined) throw new VaultError('INPUT', `there is no request template "${file}"`)
  if (!isUtf8(snapshot.bytes)) throw new VaultError('INPUT', 'the request template is not UTF-8')
  return snapshot.bytes
}
