import { isUtf8 } from 'node:buffer'
import { VaultError } from '../errors.js'
import { createRedactor } from '../redact/forms.js'
import { parseBaseUrl, search } from '../search/search.js'
import type { Secret } from '../secret.js'
import { readFileChecked } from '../storage/read-file.js'
import { fillTemplate, parseTemplate } from './http-template.js'
import {
  jsonLine,
  locateFile,
  programError,
  type RotationWorld,
  runProgram,
  secretMember,
  showPrinted,
  timeLimit,
} from './programs.js'
import type { Argv, ProbeSpec } from './spec.js'

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
    else await probeByRequest(spec.file, request.value, world)
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
  const end = await runProgram(argv, { stdin }, world)
  stdin.fill(0)
  showPrinted(end, { role: 'probe', secrets: [value], world })
  if (end.failure !== undefined) throw programError(actionOf(request), { role: 'probe', argv, reason: end.failure })
}

async function probeBySearch(value: Secret, world: RotationWorld): Promise<void> {
  const baseUrl = parseBaseUrl(world.searchBaseUrl)
  await search(QUERY, { credential: value, baseUrl, numResults: 1, timeoutMs: Math.min(15_000, timeLimit(world)) })
}

async function probeByRequest(file: string, value: Secret, world: RotationWorld): Promise<void> {
  const template = parseTemplate(readTemplate(file, world))
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

function readTemplate(file: string, world: RotationWorld): string {
  // Whoever can write the template decides where the value is sent: readFileChecked refuses what others can write.
  const path = locateFile(file, world)
  const snapshot = readFileChecked(path, {
    what: 'request template',
    maxBytes: MAX_TEMPLATE_BYTES,
    host: world.host,
  })
  if (snapshot === undefined) throw new VaultError('INPUT', `there is no request template "${file}"`)
  if (!isUtf8(snapshot.bytes)) throw new VaultError('INPUT', 'the request template is not UTF-8')
  return snapshot.bytes.toString('utf8')
}
