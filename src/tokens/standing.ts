import { mintMacaroon } from '../crypto/macaroon.js'
import { sha256 } from '../crypto/kdf.js'
import { type Method, encodeCaveat, intersectCaveats } from './caveats.js'
import { createToken, DEFAULT_TTL_SECONDS, type TokenAccess } from './change.js'
import { TokenRecords } from './records.js'
import { deriveRootKey, encodeToken } from './token.js'

/** What a token that a command keeps for itself may do. */
export interface StandingOptions {
  /** What it is for: the beginning of its label, such as `headers:github`. */
  readonly use: string
  readonly tools: readonly string[]
  readonly methods?: readonly Method[] | undefined
}

/** A token with less time than this left is not handed out any more. */
const RENEW_AHEAD_MS = 10 * 60_000
const TAG_BYTES = 4
const MOST_USE_LENGTH = 40

/**
 * Gives an hourly token that a command uses again each time: the one that is there as long as it lives for another ten
 * minutes, else a new one.
 *
 * A token is a function of the tokens key and its record, so that the one that is there need not be kept anywhere.
 *
 * @throws {VaultError} as `createToken`
 */
export async function standingToken(access: TokenAccess, options: StandingOptions): Promise<string> {
  const { use, tools, methods = ['tools'] } = options
  const scope = sha256(Buffer.from(JSON.stringify([use, tools, methods]))).toString('hex')
  const prefix = `${use.slice(0, MOST_USE_LENGTH)}:${scope.slice(0, 2 * TAG_BYTES)}:`
  const found = findToken(access, prefix)
  if (found !== undefined) return found
  const label = `${prefix}${access.randomBytes(TAG_BYTES).toString('hex')}`
  const { token } = await createToken(access, { tools, methods, label, ttlSeconds: DEFAULT_TTL_SECONDS })
  return token
}

function findToken({ store, keys, now }: TokenAccess, prefix: string): string | undefined {
  const records = TokenRecords.open(store, keys)
  try {
    const untilMs = now() + RENEW_AHEAD_MS
    const record = records
      .live(now())
      .find(({ label, caveats }) => label?.startsWith(prefix) && (intersectCaveats(caveats).beforeMs ?? 0) > untilMs)
    const key = records.tokensKey
    if (record === undefined || key === undefined) return undefined
    const identifier = Buffer.from(record.id, 'hex')
    const rootKey = deriveRootKey(key.reveal(), identifier)
    return encodeToken(mintMacaroon(rootKey, identifier, record.caveats.map(encodeCaveat)))
  } finally {
    records.close()
  }
}
