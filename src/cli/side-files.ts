/**
 * The files that lie beside a vault and belong to it: none of them may be taken for anything else.
 *
 * @module
 */

import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { followLinks } from '../storage/resolve-target.js'
import type { DocumentName } from '../storage/store.js'
import type { VaultAccess } from '../vault/vault.js'

/** Names what lies at each place of a vault's files, by real path, whether or not it is there. */
export function sideFiles(locate: (name: DocumentName) => string): ReadonlyMap<string, string> {
  const vault = followLinks(locate('vault'))
  return new Map([
    [followLinks(locate('log')), 'the rotation log'],
    [followLinks(locate('tokens')), 'the token records'],
    [join(dirname(vault), 'mcp_holders.jsonl'), 'the registry of holders'],
    [join(dirname(vault), 'mcp_adopted.jsonl'), 'the list of adopted entries'],
    [`${vault}.lock`, 'the lock of the vault'],
    [`${vault}.bak`, 'the generation before of the vault'],
    [`${vault}.tutorial.bak`, 'what the vault was before its upgrade'],
    [vault, 'the vault itself'],
  ])
}

/** Warns that what `upgrade` replaced still holds values that have just been taken out of the vault. */
export function warnOfTutorialBackup({ store, warn }: Pick<VaultAccess, 'store' | 'warn'>): void {
  const path = `${followLinks(store.locate('vault'))}.tutorial.bak`
  if (!existsSync(path)) return
  warn(`"${path}", from before the upgrade, still holds old values under the same key: rm -i "${path}"`)
}
