/**
 * Spends a token's budget until it is refused, and says each call that it may make. One that is `careless` counts for
 * itself what the records had left when it started; for controls.
 */

import { writeSync } from 'node:fs'
import { BudgetKeeper, CALLS_AHEAD, callsLeft } from '../../../src/tokens/budget.js'
import { TokenRecords } from '../../../src/tokens/records.js'
import { verifyToken } from '../../../src/tokens/verify.js'
import { NOW, openAccess, SEARCH } from '../tokens-support.js'

const [directory = '', token = '', kind = ''] = process.argv.slice(2)
const access = openAccess(directory)
const records = TokenRecords.open(access.store, access.keys)
const keeper = new BudgetKeeper({ ...access, records }, { ahead: CALLS_AHEAD })
let left = callsLeft(token, records) ?? 0

async function mayCall(): Promise<boolean> {
  if (kind === 'careless') return left-- > 0
  records.refresh()
  const verdict = verifyToken(token, SEARCH, { records, nowMs: NOW, held: keeper })
  return verdict.allowed && keeper.spend(verdict)
}

writeSync(1, 'ready\n')
while (await mayCall()) writeSync(1, 'call\n')
writeSync(1, 'end\n')
