/** Age identities for the vault tests. */
import { ageSlotsOf, drawIdentity, readAgeSlots } from '../../src/vault/age-key.js'
import { type AgeKey, parseAgeIdentities } from '../../src/vault/key.js'
import type { VaultWorld } from './vault-support.js'

/** Somebody with an identity of age. */
export interface Person {
  readonly identity: string
  readonly recipient: string
  /** The key that is read anew from the identity, with the slots of a vault opened. */
  keyFor(world?: VaultWorld): Promise<AgeKey>
}

export async function makePerson(): Promise<Person> {
  const { identity, recipient } = await drawIdentity()
  const text = identity.revealText() ?? ''
  return {
    identity: text,
    recipient,
    async keyFor(world) {
      const key = parseAgeIdentities(text)
      if (key === undefined) throw new Error('an identity that does not parse')
      await readAgeSlots(key, world === undefined ? [] : ageSlotsOf(world.store()))
      return key
    },
  }
}
