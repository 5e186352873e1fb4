import { join } from 'node:path'
import { VaultError } from '../errors.js'
import type { Snapshot } from '../storage/store.js'
import { inspectPath, resolvePath } from '../storage/inspect.js'
import { compareMark, readMark } from '../vault/marks.js'
import { placeOf, seenInPlace } from '../vault/trust.js'
import { isDamage, parseVault, readAndParse } from '../vault/open.js'
import { undoLayout } from '../vault/relaid.js'
import { accessMend } from './files.js'
import { capFindings, type Finding, findingOf, hasCode } from './finding.js'
import { type AnyVault, lookingOnly, type Scene } from './scene.js'
import { shellWord } from '../shell-word.js'

/** How many findings of one kind are listed one by one. */
export const MOST_LISTED = 20

/** SP 800-38D, section 8.3: random nonces are safe for 2^32 encryptions under a key; there is time to act at 2^20. */
const MANY_ENCRYPTIONS = 2 ** 20

/** What was found in the vault file. */
export interface Content {
  readonly findings: readonly Finding[]
  /** The vault as it reads without a key; undefined when it cannot be read at all. */
  readonly vault: AnyVault | undefined
  /** The vault opened with the key; undefined without one that fits. */
  readonly unlocked: AnyVault | undefined
}

/** Reads the vault without a key and then, if there is one, with it; every value is opened and dropped again. */
export function examineContent(scene: Scene): Content {
  const findings: Finding[] = []
  const warn = (what: string): void => {
    findings.push({ id: 'vault-relaid', severity: 'warning', what, mend: 'mcpvault export --format aes-256-gcm' })
  }
  const { key } = scene.access
  const store = lookingOnly(scene.access.store)
  try {
    const { snapshot, vault } = readAndParse(store, { store, key: undefined, warn })
    // Entries are parsed when they are asked for.
    for (const name of vault.names()) vault.describe(name)
    findings.push(...examineFormat(vault))
    if (key === undefined) return { findings, vault, unlocked: undefined }
    const opened = unlock(snapshot, scene)
    return { findings: [...findings, ...opened.findings], vault, unlocked: opened.vault }
  } catch (error) {
    return { findings: [...findings, ...unreadable(error, scene)], vault: undefined, unlocked: undefined }
  }
}

/** Reads the vault's id without a key; undefined when it cannot be read or has none. */
export function readVaultId({ access }: Pick<Scene, 'access'>): string | undefined {
  try {
    return readAndParse(access.store, { store: access.store, key: undefined, warn: () => {} }).vault.id
  } catch (error) {
    if (error instanceof VaultError) return undefined
    throw error
  }
}

/** Says what keeps the vault from being read; a mode that others can write under is the files' matter. */
function unreadable(error: unknown, scene: Scene): readonly Finding[] {
  if (hasCode(error, 'UNSAFE')) return []
  const path = scene.access.store.locate('vault')
  if (!isDamage(error)) return [findingOf(error, { id: 'vault-unreadable', mend: accessMend(path, scene.host) })]
  return [findingOf(error, { id: 'vault-damaged', mend: wayBack(scene) })]
}

/** The generation before, where it is still whole. */
function wayBack({ access }: Scene): string {
  const path = resolvePath(access.store.locate('vault'))
  if (inspectPath(`${path}.bak`).kind !== 'file') return 'mcpvault restore DIRECTORY'
  return `cp -p ${shellWord(`${path}.bak`)} ${shellWord(path)}`
}

function unlock(snapshot: Snapshot, scene: Scene): { findings: readonly Finding[]; vault: AnyVault | undefined } {
  try {
    const vault = parseVault(undoLayout(snapshot.bytes) ?? snapshot.bytes, scene.access.key)
    return { findings: capFindings(examineValues(vault, scene), MOST_LISTED), vault }
  } catch (error) {
    if (!hasCode(error, 'WRONG_KEY')) return { findings: unreadable(error, scene), vault: undefined }
    const detail = error.hints[0] === undefined ? '' : ` (${error.hints[0]})`
    const what = `${error.message}${detail}; it was found in ${sourceOf(scene)}`
    const mend = 'mcpvault doctor --key-file FILE'
    return { findings: [{ id: 'key-wrong', severity: 'error', what, mend }], vault: undefined }
  }
}

function sourceOf({ key }: Scene): string {
  return key.kind === 'found' ? key.source : 'no known place'
}

/** Opens every value. @throws {VaultError} WRONG_KEY if a tutorial vault has values and none opens */
function examineValues(vault: AnyVault, { access }: Scene): readonly Finding[] {
  const findings: Finding[] = []
  for (const name of vault.names()) {
    // That it has no known encoding was found without the key already.
    if (vault.format === 'tutorial' && vault.describe(name)?.codec === undefined) continue
    try {
      openAll(vault, name, access.now())
    } catch (error) {
      if (hasCode(error, 'WRONG_KEY')) throw error
      findings.push(findingOf(error, { id: 'credential-damaged', mend: `mcpvault rotate ${shellWord(name)}` }))
    }
  }
  return findings
}

function openAll(vault: AnyVault, name: string, nowMs: number): void {
  if (vault.format === 'tutorial') vault.load(name, { nowMs }).wipe()
  else for (const version of vault.entry(name)?.versions ?? []) vault.openVersion(name, version).wipe()
}

/** Says what the format cannot do, which values have no shape at all, and when the data key is worn. */
export function examineFormat(vault: AnyVault): readonly Finding[] {
  if (vault.format === 'tutorial') {
    const what =
      'the tutorial format keeps no versions, binds no value to its name and cannot notice that an old copy was put back'
    const odd = vault.names().filter((name) => vault.describe(name)?.codec === undefined)
    const damaged = odd.map((name): Finding => {
      const text = `the value of "${name}" is damaged: it is in neither of the tutorials' encodings`
      return { id: 'credential-damaged', severity: 'error', what: text, mend: `mcpvault rotate ${shellWord(name)}` }
    })
    return [
      ...capFindings(damaged, MOST_LISTED),
      { id: 'format-tutorial', severity: 'note', what, mend: 'mcpvault upgrade' },
    ]
  }
  const { count } = vault.parts.header.dek
  if (count < MANY_ENCRYPTIONS) return []
  const what = `the vault's data key has encrypted ${count} values; it refuses more than ${2 ** 32}`
  return [{ id: 'key-worn', severity: 'warning', what, mend: 'mcpvault key rotate' }]
}

const UNCONFIRMED: Finding = {
  id: 'vault-unconfirmed',
  severity: 'warning',
  what: 'nobody has confirmed this vault on this machine, and whoever knows your age recipient could have made it: no provider, probe or hook runs; compare its fingerprint (mcpvault key list) with a colleague',
  mend: 'mcpvault key list --trust-new-key',
}

/** Compares the vault with the furthest state of it that this machine has seen. */
export function examineStanding(vault: AnyVault, scene: Scene): readonly Finding[] {
  const access = { ...scene.access, store: lookingOnly(scene.access.store) }
  const place = examinePlace(vault, access, scene.stateDirectory)
  if (vault.format === 'tutorial') return place
  const path = join(scene.stateDirectory, `${vault.id}.json`)
  const mark = inspectPath(path)
  if (mark.kind === 'hidden' || (mark.kind === 'file' && !mark.isReadable)) {
    const what = `an older copy of the vault would not be noticed: what this machine has seen of it, "${path}", cannot be read`
    return [{ id: 'mark-unreadable', severity: 'warning', what, mend: accessMend(path, scene.host) }]
  }
  try {
    const seen = readMark(vault.id, access)
    const { behind } = compareMark(vault, seen, access)
    if (behind === undefined) return seen?.isUnconfirmed ? [...place, UNCONFIRMED] : place
    const severity = access.isInGit() ? 'warning' : 'error'
    const mend = 'mcpvault log settle --accept-restore'
    const what = `${behind}; find the newer one before anything else, or go on from here`
    return [{ id: 'vault-restored', severity, what, mend }]
  } catch (error) {
    if (hasCode(error, 'UNSAFE')) {
      const mend = wayBack(scene)
      return [findingOf(error, { id: 'vault-replaced', mend })]
    }
    return [findingOf(error, { id: 'mark-damaged', mend: `rm -ri ${shellWord(path)}` })]
  }
}

/** A native vault that became one of the tutorial's has lost what notices changes: anybody may have put it there. */
function examinePlace(vault: AnyVault, access: Scene['access'], stateDirectory: string): readonly Finding[] {
  const mark = join(stateDirectory, `${placeOf(access)}.json`)
  const mend = `rm -i ${shellWord(mark)}`
  try {
    if (seenInPlace(access) === undefined || vault.format === 'native') return []
    const what =
      'this machine has seen a native vault here, and what lies here now is in the tutorial format: find the native one, unless you went back yourself'
    return [{ id: 'vault-replaced', severity: 'error', what, mend }]
  } catch (error) {
    return [findingOf(error, { id: 'mark-damaged', mend })]
  }
}
