/** Programs of a policy that write down what they are asked, in the directory of the vault. */

import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Ends mcpvault at a moment that a file asks for, and this program with it. */
const KILLING = `kill_at() { if [ -e "kill-at-$1" ]; then rm "kill-at-$1"; kill -KILL "$PPID"; exit 1; fi; }`

/**
 * A provider that honours idempotency keys: each key that it makes is a line of `made`, each call a line of `calls`, each
 * revocation a line of `revoked`. `fail-create`, `silent-create` and `fail-revoke` are files that make it fail,
 * `forgets-keys` lets it make another key at each call, and with `kill-at-create` and `kill-at-made` it kills mcpvault once
 * before and after it has made one.
 */
const PROVIDER = `#!/bin/sh
${KILLING}
IFS= read -r request
field() { printf '%s' "$request" | sed -n 's/.*"'"$1"'":"\\([^"]*\\)".*/\\1/p'; }
id=$(field idempotency_key)
case $request in
*'"step":"create"'*)
  echo create >> calls
  [ -e fail-create ] && exit 3
  kill_at create
  [ -e forgets-keys ] && id=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \\n')
  # Made once, however many ask at the same time.
  (set -C; : > "made-$id") 2> /dev/null && echo "$id" >> made
  [ -e silent-create ] && exit 0
  kill_at made
  printf '{"value":"sk_%s","handle":"h-%s"%s}\\n' "$id" "$id" "$(cat answers 2> /dev/null)" ;;
*'"step":"revoke"'*)
  echo revoke >> calls
  [ -e fail-revoke ] && exit 4
  echo "$(field handle)" >> revoked
  echo '{}' ;;
esac
`

/** A probe that takes every value unless `refuse` is there. */
const PROBE = `#!/bin/sh
${KILLING}
kill_at probe
IFS= read -r request
printf '%s\\n' "$request" | sed -n 's/.*"value":"\\([^"]*\\)".*/\\1/p' >> probed
[ ! -e refuse ]
`

/** A hook that fails while `no-reload` is there. */
const HOOK = `#!/bin/sh
${KILLING}
kill_at hook
echo reload >> reloads
[ ! -e no-reload ]
`

const PROGRAMS = { provider: PROVIDER, probe: PROBE, hook: HOOK } as const

/** Puts the programs into a directory, as \`./provider\`, \`./probe\` and \`./hook\`. */
export function placePrograms(directory: string): void {
  for (const [name, text] of Object.entries(PROGRAMS)) {
    writeFileSync(join(directory, name), text)
    chmodSync(join(directory, name), 0o755)
  }
}

/** Gives the lines that a program has written into a file; none when it is not there. */
export function linesOf(directory: string, name: string): readonly string[] {
  const path = join(directory, name)
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : []
}
