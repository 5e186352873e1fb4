/**
 * The npm package `macaroon`, an implementation by other people, typed as far as the tests use it.
 *
 * @module
 */

import { createRequire } from 'node:module'
import type { Macaroon } from '../../src/crypto/macaroon.js'

interface CaveatJson {
  readonly i?: string
  readonly i64?: string
}

/** The package's v2 JSON: a field is text where its bytes are UTF-8, else base64url under the name with `64`. */
interface MacaroonJson extends CaveatJson {
  readonly l?: string
  readonly s?: string
  readonly s64?: string
  readonly c?: readonly CaveatJson[]
}

interface ForeignMacaroon {
  readonly location: string
  readonly identifier: Uint8Array
  readonly signature: Uint8Array
  readonly caveats: readonly { readonly identifier: Uint8Array }[]
  addFirstPartyCaveat(caveat: string | Uint8Array): void
  /** Throws unless the signature fits and `check` gives null for every caveat. */
  verify(rootKey: Uint8Array, check: (caveat: string) => string | null): void
  exportJSON(): MacaroonJson
}

interface MacaroonPackage {
  importMacaroon(bytes: Uint8Array): ForeignMacaroon
}

const load = createRequire(import.meta.url)

export const { importMacaroon } = load('macaroon') as MacaroonPackage

/** Takes a macaroon from the package as JSON, since its binary export breaks at four caveats. */
export function takeJson(json: MacaroonJson): Macaroon {
  return {
    identifier: readField(json.i, json.i64),
    caveats: (json.c ?? []).map((caveat) => readField(caveat.i, caveat.i64)),
    signature: readField(json.s, json.s64),
  }
}

function readField(text: string | undefined, base64url: string | undefined): Buffer {
  return text === undefined ? Buffer.from(base64url ?? '', 'base64url') : Buffer.from(text, 'utf8')
}
