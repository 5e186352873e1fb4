/**
 * One of several processes that follow the token records. Reads a command a line from stdin:
 * `watch TOKEN` judges it over and over, `revoke ID`, `check TOKEN` judges it once more and stops watching. A child that
 * is `stale` does not look at the file before it judges; for controls.
 */

import { createInterface } from 'node:readline'
import { writeSync } from 'node:fs'
import { revokeTokens } from '../../../src/tokens/change.js'
import { TokenRecords } from '../../../src/tokens/records.js'
import { SignatureCache } from '../../../src/tokens/signature-cache.js'
import { verifyToken } from '../../../src/tokens/verify.js'
import { NOW, openAccess, SEARCH } from '../tokens-support.js'

const [directory = '', kind = ''] = process.argv.slice(2)
const access = openAccess(directory)
const records = TokenRecords.open(access.store, access.keys)
const cache = new SignatureCache()
let timer: NodeJS.Timeout | undefined

function judge(token: string): string {
  if (kind !== 'stale') records.refresh()
  const verdict = verifyToken(token, SEARCH, { records, nowMs: NOW, cache })
  return verdict.allowed ? 'allowed' : verdict.reason
}

function watch(token: string): void {
  const outcome = judge(token)
  // Before the revocation is acknowledged either is right; anything else is a half-read file.
  if (outcome !== 'allowed' && outcome !== 'revoked') writeSync(1, `odd ${outcome}\n`)
  // Not at once: eight processes that spin would wait for a processor most of the time, and not race.
  timer = setTimeout(() => watch(token), 1)
}

for await (const line of createInterface({ input: process.stdin })) {
  const [command, argument = ''] = line.split(' ')
  if (command === 'watch') {
    records.refresh()
    watch(argument)
    writeSync(1, 'watching\n')
  } else if (command === 'revoke') {
    await revokeTokens({ ...access, records }, { names: [argument] })
    writeSync(1, 'revoked\n')
  } else {
    clearTimeout(timer)
    writeSync(1, `${judge(argument)}\n`)
  }
}
