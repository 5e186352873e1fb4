import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { isSystemError, VaultError } from '../errors.js'
import { shellWord } from '../shell-word.js'
import { type GitPlace, runGit } from './scan-git.js'

/** What the hook is to run. */
export interface HookCommand {
  /** Absolute paths of node and of mcpvault's launcher. */
  readonly launcher: readonly [node: string, script: string]
  readonly vaultPath: string
}

/**
 * Writes the pre-commit hook of a repository, where git looks for it (`core.hooksPath` included), and gives its path.
 *
 * @throws {VaultError} EXISTS if there is a hook already: it is never changed. INPUT if this is no repository, IO.
 */
export function installHook(place: GitPlace, command: HookCommand): string {
  const asked =
    runGit(['rev-parse', '--git-path', 'hooks/pre-commit'], place)?.toString('utf8').replace(/\n$/, '') ?? ''
  const path = resolve(place.directory, asked)
  try {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, formatHook(command), { flag: 'wx', mode: 0o755 })
    // The mode above is less what the umask takes away.
    chmodSync(path, 0o755)
  } catch (error) {
    if (isSystemError(error, 'EEXIST')) {
      throw new VaultError('EXISTS', `cannot write the hook "${path}": there is one already`, {
        hints: [`add this line to it: ${formatCommand(command)} || exit 1`],
      })
    }
    throw new VaultError('IO', `cannot write the hook "${path}"`, { cause: error })
  }
  return path
}

/** The hook as a shell script: git runs it in the work tree, and a failure stops the commit. */
export function formatHook(command: HookCommand): string {
  return [
    '#!/bin/sh',
    '# Written by "mcpvault scan --install-hook": stops a commit that holds a value of the vault.',
    `exec ${formatCommand(command)}`,
    '',
  ].join('\n')
}

function formatCommand({ launcher: [node, script], vaultPath }: HookCommand): string {
  return [node, '--', script, '--vault', vaultPath, '--no-input', 'scan', '--staged'].map(shellWord).join(' ')
}
