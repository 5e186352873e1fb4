import { VaultError } from '../errors.js'
import { changeVault } from '../vault/change.js'
import { shellWord } from '../vault/name.js'
import { openVault } from '../vault/open.js'
import type { Rotation } from '../vault/vault.js'
import { type RotationDesk, takeStep } from './desk.js'
import { runHook } from './hook.js'
import { parseHook, parseTarget } from './spec.js'
import { writeTarget } from './target.js'

/** A rotation at the stage `targets` that this process owns. */
export interface Following {
  readonly rotation: Rotation
  readonly desk: RotationDesk
  /** Going back from a rollback would be going on to what was left. */
  readonly isRollback?: boolean
}

/**
 * Brings a promoted value to where it must be: writes the targets, runs the hook, and takes the rotation out of the
 * journal. Both may be done again: a target that holds the value already is left alone by its bytes.
 *
 * @throws {VaultError} ROTATION if one of them fails; the promotion stands, and the rotation waits to be resumed.
 */
export async function followRotation(following: Following): Promise<void> {
  const { rotation, desk } = following
  const { name, version, plan } = rotation
  const failures: VaultError[] = []
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      if (!(error instanceof VaultError)) throw error
      failures.push(error)
    }
  }
  await writeTargets(following, attempt)
  // A program that is told to read its configuration again must find the new value there.
  const { onRotate } = plan
  if (failures.length === 0 && onRotate !== undefined) {
    await attempt(() =>
      takeStep({ desk, rotation, sentence: `targets: running the hook of "${name}"` }, () =>
        runHook(parseHook(onRotate), { credential: name, version }, desk.world),
      ),
    )
  }
  const [first] = failures
  if (first === undefined) {
    await changeVault(desk.access, 'rotate', ({ staged }) => staged.end(rotation))
    return
  }
  await changeVault(desk.access, 'rotate', ({ staged }) => void staged.assign(rotation, { owner: undefined }))
  const word = shellWord(name)
  throw new VaultError('ROTATION', `version ${version} of "${name}" is live, but not all is done: ${first.message}`, {
    hints: [
      ...failures.slice(1).map(({ message }) => message),
      ...first.hints,
      `mcpvault rotate ${word} --resume`,
      ...(following.isRollback ? [] : [`mcpvault rollback ${word}`]),
    ],
    cause: first,
  })
}

async function writeTargets(
  { rotation, desk }: Following,
  attempt: (work: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const { name, id, plan } = rotation
  if (plan.targets.length === 0) return
  const vault = openVault(desk.access)
  // Whoever has taken it over meanwhile may have rolled it back.
  if (vault.rotations.find((one) => one.name === name)?.id !== id) {
    throw new VaultError('LOCKED', `cannot go on with the rotation of "${name}": another process has taken it`)
  }
  const value = vault.load(name, { nowMs: desk.access.now() })
  try {
    for (const target of plan.targets) {
      await attempt(() =>
        takeStep({ desk, rotation, sentence: `targets: writing the value of "${name}" to ${target}` }, () =>
          writeTarget(parseTarget(target), value, desk.world),
        ),
      )
    }
  } finally {
    value.wipe()
  }
}
