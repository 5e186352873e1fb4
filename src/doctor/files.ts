import { join } from 'node:path'
import { findLeftFolders } from '../exec/private-folder.js'
import { inspectAncestors, inspectPath, type PathFact, resolvePath } from '../storage/inspect.js'
import type { StorageHost } from '../storage/read-file.js'
import { findTempFiles } from '../storage/temp-file.js'
import type { Finding } from './finding.js'
import type { AnyVault, Scene } from './scene.js'
import { shellWord } from '../shell-word.js'

/** A file to be looked at, and what it is called in messages. */
interface Document {
  readonly what: string
  readonly fact: PathFact
  /** Whether other users may read it: the log is made to be read. */
  readonly isPublic?: boolean
}

/** Checks modes and owners of everything that belongs to the vault, and of the directories that it lies in. */
export function examineFiles(scene: Scene): readonly Finding[] {
  const { store } = scene.access
  const vault = store.locate('vault')
  const keyPath = scene.key.kind === 'found' ? scene.key.path : undefined
  const documents: readonly Document[] = [
    { what: 'vault', fact: inspectPath(vault) },
    { what: 'rotation log', fact: inspectPath(store.locate('log')), isPublic: true },
    { what: 'token records', fact: inspectPath(store.locate('tokens')) },
    { what: 'previous vault', fact: inspectPath(`${resolvePath(vault)}.bak`) },
    { what: 'replaced tutorial vault', fact: inspectPath(`${resolvePath(vault)}.tutorial.bak`) },
    ...(keyPath === undefined ? [] : [{ what: 'key file', fact: inspectPath(keyPath) }]),
  ]
  const places = [vault, store.locate('log'), join(scene.stateDirectory, 'mark'), ...(keyPath ? [keyPath] : [])]
  return [
    ...documents.flatMap((document) => judgeFile(document, scene.host)),
    ...judgeDirectories(places.map(inspectAncestors), scene.host),
    ...judgeState(inspectAncestors(join(scene.stateDirectory, 'mark')), scene),
  ]
}

/** Judges mode and owner of one file. */
export function judgeFile({ what, fact, isPublic = false }: Document, host: StorageHost): readonly Finding[] {
  const { path, kind } = fact
  if (kind !== 'file' || host.uid < 0) return []
  const word = shellWord(path)
  const findings: Finding[] = []
  const add = (id: string, severity: Finding['severity'], text: string, mend: string): void => {
    findings.push({ id, severity, what: text, mend })
  }
  if (fact.canOthersWrite)
    add('file-writable', 'error', `other users can write the ${what} "${path}"`, `chmod go-w ${word}`)
  if (fact.canOthersRead && !isPublic) {
    add('file-readable', 'warning', `other users can read the ${what} "${path}"`, `chmod go-rwx ${word}`)
  }
  // Root works on files of others, and systemd hands out credentials that belong to root.
  if (fact.uid !== host.uid && host.uid !== 0 && fact.uid !== 0) {
    add(
      'file-owner',
      'warning',
      `the ${what} "${path}" belongs to another user (${fact.uid})`,
      `sudo chown ${host.uid} ${word}`,
    )
  }
  return findings
}

/**
 * Judges the directories above some files, each chain nearest first: who can write one of them can put a file of their
 * own in the place of ours.
 */
export function judgeDirectories(chains: readonly (readonly PathFact[])[], host: StorageHost): readonly Finding[] {
  const seen = new Set<string>()
  return chains.flatMap((chain) =>
    chain.flatMap((fact, index): Finding[] => {
      if (seen.has(fact.path) || fact.kind !== 'directory' || host.uid < 0) return []
      seen.add(fact.path)
      const { path, uid } = fact
      const mend = `chmod go-w ${shellWord(path)}`
      if (fact.canOthersWrite && !fact.isSticky) {
        const what = `other users can write the directory "${path}", and so replace what lies in it`
        return [{ id: 'directory-writable', severity: 'error', what, mend }]
      }
      if (index > 0) return []
      if (fact.canOthersWrite) {
        const what = `other users can put files into the directory "${path}"; keep the vault in one of its own`
        const own = `mkdir -m 700 ${shellWord(join(path, 'mcpvault'))}`
        return [{ id: 'directory-shared', severity: 'warning', what, mend: own }]
      }
      if (uid === host.uid || host.uid === 0 || uid === 0) return []
      const what = `the directory "${path}" belongs to another user (${uid})`
      return [{ id: 'directory-owner', severity: 'warning', what, mend: `sudo chown ${host.uid} ${shellWord(path)}` }]
    }),
  )
}

/** Judges whether high-water marks can be kept: the nearest directory that exists must be one, and writable. */
export function judgeState(
  chain: readonly PathFact[],
  { host, stateDirectory: directory }: Pick<Scene, 'host' | 'stateDirectory'>,
): readonly Finding[] {
  const [nearest] = chain
  if (nearest === undefined || (nearest.kind === 'directory' && nearest.isWritable)) return []
  // Somebody else's directory, such as / where there is no home, is not for taking over.
  const isOwn = nearest.uid === host.uid || nearest.path === directory
  const make = `sudo install -d -m 700 -o ${host.uid} ${shellWord(directory)}`
  const mend =
    nearest.kind !== 'directory' ? 'export XDG_STATE_HOME="$HOME/.local/state"' : isOwn ? takeOver(nearest, host) : make
  const reason =
    nearest.kind === 'directory' ? `"${nearest.path}" cannot be written` : `"${nearest.path}" is no directory`
  const what = `an old copy of the vault would not be noticed: nothing can be kept in "${directory}", since ${reason}`
  return [{ id: 'state-unwritable', severity: 'warning', what, mend }]
}

/** Gives the command after which a file that is there can be read, or that shows why it cannot. */
export function accessMend(path: string, host: StorageHost): string {
  const fact = inspectPath(path)
  const [directory] = inspectAncestors(path)
  if (fact.kind === 'file' && !fact.isReadable) return takeOver(fact, host)
  if (fact.kind === 'hidden' && directory?.isReadable === false) return takeOver(directory, host)
  return `ls -ld ${shellWord(path)}`
}

function takeOver({ path, kind, uid }: PathFact, host: StorageHost): string {
  const word = shellWord(path)
  return uid === host.uid ? `chmod u+rw${kind === 'directory' ? 'x' : ''} ${word}` : `sudo chown ${host.uid} ${word}`
}

/** Finds what killed processes and earlier formats have left behind. */
export function examineLeftovers(scene: Scene, vault: AnyVault | undefined): readonly Finding[] {
  const { store } = scene.access
  const target = resolvePath(store.locate('vault'))
  const documents = (['vault', 'log', 'tokens'] as const).map((name) => resolvePath(store.locate(name)))
  const marks = vault?.id === undefined ? [] : [join(scene.stateDirectory, `${vault.id}.json`)]
  const temps = findTempFiles([...documents, ...marks].flatMap((path) => [path, `${path}.lock`]))
  // Where the vault itself is broken these may be the way back.
  const suffixes = vault === undefined ? [] : vault.format === 'native' ? ['.tutorial.bak'] : ['.bak', '.tutorial.bak']
  const old = suffixes.map((suffix) => `${target}${suffix}`)
  return [
    ...temps.map((path): Finding => {
      const what = `the temporary file "${path}" was left behind, unless something is being written right now`
      return { id: 'temp-file', severity: 'note', what, mend: `rm -i ${shellWord(path)}` }
    }),
    ...old
      .filter((path) => inspectPath(path).kind === 'file')
      .map((path): Finding => {
        const what = `"${path}" holds older values, in a format that cannot notice a change`
        return { id: 'old-values', severity: 'note', what, mend: `rm -i ${shellWord(path)}` }
      }),
  ]
}

/** Tells of values in private files that a killed `exec --file` has left. */
export function examinePrivateFolders(scene: Pick<Scene, 'host' | 'env'>): readonly Finding[] {
  return findLeftFolders(scene).map(({ path }): Finding => {
    const what = `"${path}" was left by an exec that was killed, perhaps with values in it; the next exec removes it`
    return { id: 'private-folder', severity: 'note', what, mend: 'mcpvault exec -- true' }
  })
}

/** Says what a git work tree means for the files in it. */
export function examineGit({ access, key }: Scene): readonly Finding[] {
  const { store } = access
  // A directory that may not be looked into says nothing about what is in it.
  if (inspectPath(store.locate('vault')).kind === 'hidden' || !access.isInGit()) return []
  const plain = (['log', 'tokens'] as const)
    .map((name) => store.locate(name))
    .filter((path) => inspectPath(path).kind === 'file')
    .map((path) => `"${path}"`)
  const companions =
    plain.length === 0 ? '' : `; so may ${plain.join(' and ')}, which ${plain.length === 1 ? 'is' : 'are'} plain text`
  const vault = store.locate('vault')
  const what = `the vault "${vault}" lies in a git work tree: names and dates may go into its history${companions}`
  const mend = 'git status --ignored'
  const findings: Finding[] = [{ id: 'git', severity: 'note', what, mend }]
  if (key.kind === 'found' && key.path !== undefined && isBelow(key.path, vault)) {
    findings.push({
      id: 'key-in-git',
      severity: 'note',
      what: `the key file "${key.path}" lies in the same git work tree: make sure that git ignores it`,
      mend: `git check-ignore -v ${shellWord(key.path)}`,
    })
  }
  return findings
}

function isBelow(path: string, vault: string): boolean {
  const [nearest] = inspectAncestors(vault)
  return nearest !== undefined && resolvePath(path).startsWith(`${nearest.path.replace(/\/$/, '')}/`)
}
