import { caveatToJson } from './caveats.js'
import type { Refusal, Verdict } from './verify.js'

/** Why a token was refused, for whoever has the key. */
export interface Explanation {
  readonly sentence: string
  /** For `--json`: the reason is one of a closed list, the caveat as it stands in the token. */
  readonly members: { readonly reason: Refusal | null; readonly caveat: object | string | null }
}

const REASONS: Readonly<Record<Refusal, string>> = {
  malformed: 'that is no token',
  'damaged-records': 'the token records are damaged',
  'unknown-id': 'there is no record of it: it is of another vault, or ended long ago',
  'bad-signature': 'it was altered, or made with another key',
  'unknown-caveat': 'this version does not know all that it is limited by',
  revoked: 'it was revoked',
  'not-yet': 'it was created in the future of this clock',
  expired: 'it has ended',
  method: 'it does not allow tools to be called',
  tool: 'it does not allow this tool',
  args: 'it does not allow these arguments',
  calls: 'its calls are used up',
  rate: 'it has been used too often for now',
  digest: 'the definition of this tool is not the one that it was pinned to, or is not known here',
  counters: 'too many tokens with budgets were narrowed from the one that was created',
}

/** Says why a verdict is what it is. */
export function explainVerdict(verdict: Verdict): Explanation {
  if (verdict.allowed) return { sentence: 'allowed', members: { reason: null, caveat: null } }
  const { reason, caveat } = verdict
  const member = typeof caveat === 'object' ? caveatToJson(caveat) : (caveat ?? null)
  const text = typeof member === 'string' ? member : JSON.stringify(member)
  const by = member === null ? '' : `, by ${text}`
  return { sentence: `${reason}: ${REASONS[reason]}${by}`, members: { reason, caveat: member } }
}
