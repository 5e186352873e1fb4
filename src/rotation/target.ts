import { statSync } from 'node:fs'
import { setEnvValue } from '../clients/env-file.js'
import { type ConfigPath, type ConfigText, type ConfigValue, formatPath } from '../clients/config-text.js'
import { MAX_TEXT_BYTES, readTextFile, replaceTextFile } from '../clients/replace-text-file.js'
import { VaultError } from '../errors.js'
import type { Secret } from '../secret.js'
import { createPrivateFile } from '../storage/create-file.js'
import { readFileChecked } from '../storage/read-file.js'
import { replaceFile } from '../storage/replace-file.js'
import { resolveTarget } from '../storage/resolve-target.js'
import { ConflictError } from '../storage/store.js'
import { locateFile, type RotationWorld } from './programs.js'
import { formatTarget, pointerPath, type TargetSpec } from './spec.js'

const WHAT = 'target file'
/** Programs that keep writing their file get so many chances to pause. */
const MOST_ATTEMPTS = 5
/** What stands before a credential in a header. */
const SCHEME = /^(Bearer|bearer|Token|token|Bot|ApiKey|apikey) +(?=\S+$)/
/** `${env:NAME}`, `${input:key}`, `${vault:name}`: the secret lies elsewhere, and must not come here instead. */
const REFERENCE = /\$\{[^}]*\}|\$\([^)]*\)/

/**
 * Writes a value where a policy says that a file must hold it: atomically, with every other byte, comment, mode and owner
 * kept, and again from reading when another program has written meanwhile. A target that holds the value is left alone.
 *
 * @throws {VaultError} ROTATION if the file does not hold it afterwards, for sure; the message never has the value.
 */
export async function writeTarget(spec: TargetSpec, value: Secret, world: RotationWorld): Promise<void> {
  const path = locateFile(spec.file, world)
  for (let attempt = 1; ; attempt++) {
    try {
      if (spec.kind === 'file') writeWhole(path, value.reveal(), world)
      else await writeWithin(path, spec, { text: textOf(value), world })
      return warnOfReaders(path, spec, world)
    } catch (error) {
      const isConflict = error instanceof ConflictError || (error instanceof VaultError && error.code === 'LOCKED')
      if (isConflict && attempt < MOST_ATTEMPTS) continue
      throw asFailure(spec, error)
    }
  }
}

function asFailure(spec: TargetSpec, error: unknown): unknown {
  const isConflict = error instanceof ConflictError
  if (!isConflict && !(error instanceof VaultError)) return error
  const reason = isConflict ? 'another program keeps changing it' : error.message
  const hints = isConflict ? [] : error.hints
  return new VaultError('ROTATION', `cannot write the target "${formatTarget(spec)}": ${reason}`, { hints })
}

function textOf(value: Secret): string {
  const text = value.revealText()
  if (text === undefined) throw new VaultError('INPUT', 'the value is not UTF-8, and only "file:" takes other bytes')
  return text
}

interface Writing {
  readonly text: string
  readonly world: RotationWorld
}

async function writeWithin(
  path: string,
  spec: Exclude<TargetSpec, { kind: 'file' }>,
  { text, world }: Writing,
): Promise<void> {
  const file = readTextFile(path, WHAT, world)
  if (file === undefined) throw new VaultError('INPUT', 'there is no such file')
  const edited =
    spec.kind === 'env'
      ? setEnvValue(file.text, { name: spec.name, value: text }, spec.file)
      : await editJson(file.text, spec, text)
  if (edited !== file.text) replaceTextFile(file, edited, world)
}

async function editJson(
  text: string,
  { file, pointer }: Extract<TargetSpec, { kind: 'json' }>,
  value: string,
): Promise<string> {
  // Loaded here: most rotations have no such target.
  const { parseJsonc } = await import('../clients/jsonc.js')
  const config = parseJsonc(text, file)
  const path = resolvePath(config, pointerPath(pointer))
  const before = config.get(path)
  if (before !== undefined && before !== null && typeof before !== 'string') {
    throw new VaultError('INPUT', `"${formatPath(path)}" is no text`)
  }
  if (typeof before === 'string' && REFERENCE.test(before)) {
    throw new VaultError('INPUT', `"${formatPath(path)}" refers to a value elsewhere instead of holding it`)
  }
  const scheme = SCHEME.exec(before ?? '')?.[0] ?? ''
  return config.set(path, scheme + value).text
}

/** In a pointer a number is a name too: what it means is for the value that it is looked up in to say (RFC 6901). */
function resolvePath(config: ConfigText, names: readonly string[]): ConfigPath {
  const path: (string | number)[] = []
  for (const name of names) {
    const parent: ConfigValue | undefined = config.get(path)
    path.push(Array.isArray(parent) && /^(0|[1-9]\d{0,8})$/.test(name) ? Number(name) : name)
  }
  return path
}

function writeWhole(path: string, value: Buffer, world: RotationWorld): void {
  const { host, randomBytes, now } = world
  const options = { what: WHAT, maxBytes: MAX_TEXT_BYTES, host }
  const target = resolveTarget(path)
  const found = readFileChecked(target, options)
  if (found === undefined) {
    createPrivateFile(target, value, { randomBytes, now })
    return
  }
  const bytes = found.bytes.at(-1) === 0x0a ? Buffer.concat([value, Buffer.from('\n')]) : value
  if (found.bytes.equals(bytes)) return
  replaceFile(target, bytes, {
    what: WHAT,
    expected: found.revision,
    randomBytes,
    verify: () => {},
    // The time of the last write can be set back; the content cannot.
    fence() {
      const now = resolveTarget(path) === target ? readFileChecked(target, options) : undefined
      if (!now?.bytes.equals(found.bytes)) throw new ConflictError(`"${path}" was written meanwhile`)
    },
  })
}

function warnOfReaders(path: string, spec: TargetSpec, { host, warn }: RotationWorld): void {
  const mode = host.uid === -1 ? 0 : (statSync(path, { throwIfNoEntry: false })?.mode ?? 0)
  if ((mode & 0o004) !== 0) warn(`other users can read "${spec.file}", which holds a secret: chmod o-r "${path}"`)
}
