/**
 * The age file format (C2SP, age-encryption.org/v1) for X25519 recipients, through the package `age-encryption`, whose
 * only door this is. The package draws its own randomness. Whatever is wrong gives undefined, as everywhere in this room.
 */

import { Decrypter, Encrypter, generateIdentity, identityToRecipient } from 'age-encryption'

/** Draws an X25519 identity (`AGE-SECRET-KEY-1…`). */
export async function drawAgeIdentity(): Promise<string> {
  return generateIdentity()
}

/** Gives the recipient of an identity (`AGE-SECRET-KEY-1…`); undefined when its checksum does not fit. */
export async function ageRecipient(identity: string): Promise<string | undefined> {
  return unlessRefused(() => identityToRecipient(identity))
}

/** Encrypts bytes to one recipient (`age1…`); undefined when its checksum does not fit. */
export async function sealAge(recipient: string, plaintext: Buffer): Promise<Buffer | undefined> {
  return unlessRefused(async () => {
    const encrypter = new Encrypter()
    encrypter.addRecipient(recipient)
    return Buffer.from(await encrypter.encrypt(plaintext))
  })
}

/** Decrypts an age file with one of some identities; undefined when none opens it. */
export async function openAge(identities: readonly string[], file: Buffer): Promise<Buffer | undefined> {
  return unlessRefused(async () => {
    const decrypter = new Decrypter()
    for (const identity of identities) decrypter.addIdentity(identity)
    return Buffer.from(await decrypter.decrypt(file))
  })
}

/** The package's messages may quote what it was given, so that its errors are dropped here. */
async function unlessRefused<T>(run: () => Promise<T>): Promise<T | undefined> {
  try {
    return await run()
  } catch {
    return undefined
  }
}
