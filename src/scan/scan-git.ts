/**
 * Looks for values in what git keeps: staged files, or every object of a repository.
 *
 * `git cat-file --batch` prints `OID TYPE SIZE\n`, the object's bytes and `\n` for each object (git-cat-file(1)); its output
 * is read as it comes, so no object is ever held as a whole.
 *
 * @module
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { VaultError } from '../errors.js'
import { type ScanHit, StreamSearch } from './search-stream.js'
import type { Scanned } from './scan-files.js'
import type { Sought } from './values.js'

/** How git is run. */
export interface GitPlace {
  readonly directory: string
  /** Without any key: it must hold what a hook is told, such as GIT_INDEX_FILE. */
  readonly env: Readonly<Record<string, string | undefined>>
}

/** An object that git prints, and what it is called in a finding. */
interface GitObject {
  readonly oid: string
  readonly name: string
}

const MAX_OUTPUT_BYTES = 256 * 1024 * 1024
const LONGEST_HEADER_BYTES = 256

/**
 * Looks for values in what `git commit` would commit now: the index's content of every file that was added or changed.
 *
 * @throws {VaultError} INPUT if git is not there or this is no repository.
 */
export async function* scanStaged(place: GitPlace, sought: Sought, scanned: Scanned): AsyncGenerator<ScanHit> {
  // Where there is no commit yet, everything in the index is new.
  const hasHead = runGit(['rev-parse', '--verify', '--quiet', 'HEAD'], place, { mayFail: true }) !== undefined
  const base = hasHead ? 'HEAD' : runGit(['hash-object', '-t', 'tree', '/dev/null'], place)?.toString().trim()
  const text = runGit(['diff-index', '--cached', '--raw', '--abbrev=64', '-z', '--no-renames', base ?? 'HEAD'], place)
  yield* scanObjects(parseRawDiff(text ?? Buffer.alloc(0)), { place, sought, scanned })
}

/**
 * Looks for values in every object of a repository, in commits and tags too, whether a branch leads to it or not. Findings
 * are named by a path and a commit that lead to the object, where there are any.
 *
 * @throws {VaultError} INPUT if git is not there, or this is no repository.
 */
export async function* scanHistory(place: GitPlace, sought: Sought, scanned: Scanned): AsyncGenerator<ScanHit> {
  runGit(['rev-parse', '--git-dir'], place)
  const all = ['cat-file', '--batch-all-objects', '--batch', '--buffer', '--unordered']
  const found = new Map<string, ScanHit[]>()
  for await (const hit of readObjects(startGit(all, place, 'ignore'), { sought, scanned })) {
    found.set(hit.where, [...(found.get(hit.where) ?? []), hit])
  }
  for (const [oid, hits] of found) {
    const where = describeObject(oid, place)
    for (const hit of hits) yield { ...hit, where }
  }
}

/** `:MODE MODE OID OID STATUS\0PATH\0`; a deletion has the null oid. */
function parseRawDiff(text: Buffer): readonly GitObject[] {
  const fields = text.toString('utf8').split('\0')
  const objects: GitObject[] = []
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [, mode = '', , oid = ''] = (fields[at] ?? '').split(' ')
    const isContent = mode === '100644' || mode === '100755' || mode === '120000'
    if (isContent && !/^0+$/.test(oid)) objects.push({ oid, name: fields[at + 1] ?? '' })
  }
  return objects
}

interface Scanning {
  readonly sought: Sought
  readonly scanned: Scanned
}

async function* scanObjects(
  objects: readonly GitObject[],
  { place, ...scanning }: Scanning & { readonly place: GitPlace },
): AsyncGenerator<ScanHit> {
  if (objects.length === 0) return
  const child = startGit(['cat-file', '--batch', '--buffer'], place, 'pipe')
  // An error of writing is one of the child, which says it by its exit status.
  child.stdin?.on('error', () => {})
  child.stdin?.end(objects.map(({ oid }) => `${oid}\n`).join(''))
  const names = objects.map(({ name }) => name)
  yield* readObjects(child, { ...scanning, names })
}

function startGit(argv: readonly string[], place: GitPlace, stdin: 'ignore' | 'pipe'): ChildProcess {
  return spawn('git', argv, { cwd: place.directory, env: place.env, stdio: [stdin, 'pipe', 'ignore'] })
}

/** Reads objects as they come; each is named by `names` in their order, else by its type and oid. */
async function* readObjects(
  child: ChildProcess,
  { sought, scanned, names }: Scanning & { readonly names?: readonly string[] },
): AsyncGenerator<ScanHit> {
  const ended = once(child, 'close').catch(() => [undefined])
  let count = 0
  let search: StreamSearch | undefined
  let left = 0
  let header = Buffer.alloc(0)
  try {
    for await (const chunk of child.stdout as Readable) {
      let rest = chunk as Buffer
      while (rest.length > 0) {
        if (search === undefined) {
          const end = rest.indexOf(0x0a)
          header = Buffer.concat([header, end < 0 ? rest : rest.subarray(0, end)])
          if (header.length > LONGEST_HEADER_BYTES) throw unreadable()
          if (end < 0) break
          const { where, size } = parseHeader(header.toString('utf8'), names?.[count])
          search = new StreamSearch(sought, where)
          left = size
          header = Buffer.alloc(0)
          rest = rest.subarray(end + 1)
          count += 1
          continue
        }
        const part = rest.subarray(0, left)
        yield* search.feed(part)
        scanned.bytes += part.length
        left -= part.length
        rest = rest.subarray(part.length)
        if (left > 0 || rest.length === 0) continue
        // The line feed behind the object.
        rest = rest.subarray(1)
        yield* search.end()
        scanned.files += 1
        search = undefined
      }
    }
  } finally {
    child.kill('SIGKILL')
  }
  const [status] = (await ended) as [number | null | undefined]
  const isWhole = search === undefined && header.length === 0 && (names === undefined || count === names.length)
  if (status !== 0 || !isWhole) throw unreadable()
}

function parseHeader(text: string, name: string | undefined): { readonly where: string; readonly size: number } {
  const [, oid, size] = /^([0-9a-f]{40,64}) (?:blob|tree|commit|tag) (\d{1,15})$/.exec(text) ?? []
  if (oid === undefined) throw unreadable()
  return { where: name ?? oid, size: Number(size) }
}

/** Names an object for people: the path and a commit that has it, or what kind of object it is. */
function describeObject(oid: string, place: GitPlace): string {
  const type = runGit(['cat-file', '-t', oid], place)?.toString().trim() ?? 'object'
  if (type !== 'blob') return `${type} ${oid}`
  const log = [
    'log',
    '--all',
    '--reflog',
    `--find-object=${oid}`,
    '--diff-filter=AM',
    '-1',
    '--format=%H',
    '--raw',
    '-z',
  ]
  const text = runGit([...log, '--no-renames', '--abbrev=64', '-m'], place, { mayFail: true })?.toString('utf8') ?? ''
  const commit = /[0-9a-f]{40,64}/.exec(text)?.[0]
  const path = text.split('\0').find((_, index, fields) => index > 0 && (fields[index - 1] ?? '').includes(oid))
  return commit === undefined || path === undefined ? `blob ${oid}` : `${commit.slice(0, 12)}:${path}`
}

/** Runs git and gives what it prints; undefined if it failed and `mayFail`. @throws {VaultError} INPUT */
export function runGit(
  argv: readonly string[],
  { directory, env }: GitPlace,
  options: { readonly mayFail?: boolean } = {},
): Buffer | undefined {
  const { status, stdout, error } = spawnSync('git', argv, {
    cwd: directory,
    env,
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: MAX_OUTPUT_BYTES,
  })
  if (error !== undefined) throw new VaultError('INPUT', 'cannot ask git: it does not run here')
  if (status === 0) return stdout
  if (options.mayFail) return undefined
  throw new VaultError('INPUT', `cannot ask git: "${directory}" is in no repository that it can read`)
}

function unreadable(): VaultError {
  return new VaultError('IO', 'cannot read what git keeps: it ended early, so not everything was looked through', {
    hints: ['git fsck'],
  })
}
