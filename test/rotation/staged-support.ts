/** Programs of a policy that write down what they are asked, in the directory of the vault. */

import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * A provider that honours idempotency keys: each key that it makes is a line of `made`, each call a line of `calls`, each
 * revocation a line of `revoked`. `fail-create`, `slow-create` and `fail-revoke` are files that make it fail.
 */
const PROVIDER = `#!/bin/sh
IFS= read -r request
field() { printf '%s' "$request" | sed -n 's/.*"'"$1"'":"\\([^"]*\\)".*/\\1/p'; }
id=$(field idempotency_key)
case $request in
*'"step":"create"'*)
  echo create >> calls
  [ -e fail-create ] && exit 3
  if [ ! -e "made-$id" ]; then printf 'sk_%s' "$id" > "made-$id"; echo "$id" >> made; fi
  [ -e silent-create ] && exit 0
  printf '{"value":"%s","handle":"h-%s"%s}\\n' "$(cat "made-$id")" "$id" "$(cat answers 2> /dev/null)" ;;
*'"step":"revoke"'*)
  echo revoke >> calls
  [ -e fail-revoke ] && exit 4
  echo "$(field handle)" >> revoked
  echo '{}' ;;
esac
`

/** A probe that takes every value unless \`refuse\` is there. */
const PROBE = `#!/bin/sh
IFS= read -r request
printf '%s\\n' "$request" | sed -n 's/.*"value":"\\([^"]*\\)".*/\\1/p' >> probed
[ ! -e refuse ]
`

/** A hook that fails while `no-reload` is there. */
const HOOK = `#!/bin/sh
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
