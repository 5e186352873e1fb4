/** What the examinations share: what a world's vault is examined with, and a picture of all files to compare. */
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Finding } from '../../src/doctor/finding.js'
import type { TestWorld } from '../support/context.js'

/** Runs `doctor --json` in a world and gives what it found. */
export async function findingsIn(world: TestWorld, ...argv: readonly string[]): Promise<readonly Finding[]> {
  const status = await world.run('doctor', '--json', ...argv)
  if (status !== 0 && status !== 4) throw new Error(`doctor gave ${status}: ${world.stderr}`)
  const findings = JSON.parse(world.stdout) as readonly Finding[]
  const isTroubled = findings.some(({ severity }) => severity !== 'note')
  if (isTroubled !== (status === 4)) throw new Error(`doctor gave ${status} with ${world.stdout}`)
  return findings
}

/** Gives the ids of what `doctor` finds, with their severities: `error vault-damaged`. */
export async function idsIn(world: TestWorld, ...argv: readonly string[]): Promise<readonly string[]> {
  return (await findingsIn(world, ...argv)).map(({ severity, id }) => `${severity} ${id}`)
}

/** Everything below a directory: each path with mode, size, time of the last write and content. */
export function pictureOf(directory: string): Readonly<Record<string, string>> {
  const picture: Record<string, string> = {}
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    const stats = lstatSync(join(directory, name))
    const content = stats.isFile() ? readFileSync(join(directory, name), 'base64') : ''
    picture[name] = `${stats.mode.toString(8)} ${stats.ino} ${stats.mtimeMs} ${content}`
  }
  return picture
}
