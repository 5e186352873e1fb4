/** Restores that are killed at each of their steps, over whatever may lie there. */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import { VaultError } from '../../src/errors.js'
import { TokenRecords } from '../../src/tokens/records.js'
import type { RawKey } from '../../src/vault/key.js'
import type { Bundle } from '../support/bundle.js'
import { BackupWorld, FILES } from './backup-support.js'

const [VAULT, LOG, TOKENS] = FILES

/** What lies there before a backup of `a1` is put back, and a token that must not pass, whatever happens. */
export interface Scene {
  readonly made: BackupWorld
  readonly directory: string
  readonly revoked: string
}

const VAULT_PLACES = ['verify vault', 'replaced vault', 'append log', 'appended log', 'mark']
const LOG_PLACES = ['verify log', 'replaced log']
const TOKEN_PLACES = ['verify tokens', 'replaced tokens']

/** What may lie there, and the places of the restore in which a kill is tried. */
export const SCENES: readonly (readonly [name: string, places: readonly string[], make: () => Promise<Scene>])[] = [
  ['a newer set', VAULT_PLACES, newerSet],
  ['an older set with shorter files', [...LOG_PLACES, ...TOKEN_PLACES, ...VAULT_PLACES], olderSet],
  [
    'nothing, on a machine that has seen more',
    [...LOG_PLACES, ...TOKEN_PLACES, ...VAULT_PLACES],
    async () => {
      const scene = await newerSet()
      scene.made.remove(VAULT, LOG, TOKENS)
      return scene
    },
  ],
  [
    'a damaged vault and damaged token records',
    [...TOKEN_PLACES, 'replaced vault'],
    async () => {
      const scene = await newerSet()
      for (const name of [VAULT, TOKENS]) writeFileSync(scene.made.path(name), 'damaged')
      return scene
    },
  ],
  [
    'token records that went another way',
    ['append tokens', 'appended tokens', 'replaced vault'],
    async () => {
      const scene = await newerSet()
      scene.made.remove(TOKENS)
      scene.made.forgetMarks()
      await scene.made.token()
      return scene
    },
  ],
]

/** A vault that has gone on since its backup. */
export async function newerSet(): Promise<Scene> {
  const made = await BackupWorld.create()
  const revoked = await made.token()
  const directory = await made.backup()
  await made.world.rotate('a', 'a2')
  await made.revoke(revoked)
  return { made, directory, revoked }
}

/** As somebody leaves it who copies an old set over the new one. */
async function olderSet(): Promise<Scene> {
  const made = await BackupWorld.create()
  const revoked = await made.token()
  const old = FILES.map((name) => made.read(name))
  await made.revoke(revoked)
  await made.world.rotate('b', 'b2')
  const directory = await made.backup()
  FILES.forEach((name, index) => {
    writeFileSync(made.path(name), old[index] ?? '')
  })
  return { made, directory, revoked }
}

/** Sees that the restore can be done again, and that work goes on. */
export async function expectDone({ made, directory, revoked }: Scene): Promise<void> {
  await made.restore(directory)
  expect([made.world.text('a'), made.allows(revoked)]).toEqual(['a1', false])
  expect(made.world.report()).toMatchObject({ problems: [], anchored: true, torn: false })
  await made.world.rotate('a', 'a9')
  expect(made.allows(await made.token())).toBe(true)
}

/** A revoked token must never pass, and whatever opens must be one of the two sets. */
export function expectNoMix({ made, revoked }: Scene): void {
  const opened = attempt(() => made.world.open())
  if (typeof opened === 'string') {
    expect(['NOT_FOUND', 'DAMAGED', 'RESTORED']).toContain(opened)
    return
  }
  expect(['a1', 'a2']).toContain(made.world.text('a'))
  const allowed = attempt(() => {
    TokenRecords.open(made.world.store(), made.world.open())
    return made.allows(revoked)
  })
  expect([false, 'DAMAGED', 'RESTORED']).toContain(allowed)
  const report = attempt(() => made.world.report().problems.map(({ kind }) => kind))
  // A log ahead of its vault is what a writer refuses.
  if (Array.isArray(report)) expect(report.filter((kind) => kind !== 'ahead')).toEqual([])
}

function attempt<T>(run: () => T): T | string {
  try {
    return run()
  } catch (error) {
    if (error instanceof VaultError) return error.code
    throw error
  }
}

/** Restores in a process that is killed at a place; gives how it ended. */
export function runRestore(child: Bundle, { made, directory }: Scene, place: string): Promise<string> {
  const key = (made.world.key as RawKey).bytes.reveal().toString('base64url')
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [child.path, made.world.directory, key, directory, place], (error, _stdout, stderr) => {
      if (stderr !== '') reject(new Error(stderr))
      else resolve(error?.signal ?? `exit ${error?.code ?? 0}`)
    })
  })
}

/** Kills a restore at a place of a scene, and sees that nothing is mixed and that it can be done again. */
export async function tryKill(child: Bundle, make: () => Promise<Scene>, place: string): Promise<void> {
  const scene = await make()
  expect(await runRestore(child, scene, place)).toBe('SIGKILL')
  expectNoMix(scene)
  // The lock of the killed process is broken, and what it left behind is no hindrance.
  await expectDone(scene)
}
