/** Creates and revokes tokens for as long as it lives, and says each one as soon as it is acknowledged. */

import { writeSync } from 'node:fs'
import { createToken, revokeTokens } from '../../src/tokens/change.js'
import { openAccess } from './tokens-support.js'

const [directory = '', rounds = '0'] = process.argv.slice(2)
const access = openAccess(directory)

for (let round = 0; round < Number(rounds); round++) {
  const { token, record } = await createToken(access, { tools: ['web_search'] })
  writeSync(1, `created ${token}\n`)
  if (round % 2 === 0) continue
  await revokeTokens(access, { names: [record.id] })
  writeSync(1, `revoked ${token}\n`)
}
