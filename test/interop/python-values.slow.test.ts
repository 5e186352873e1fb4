import { spawnSync } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { expect, it } from 'vitest'
import { openGcm, sealGcm } from '../../src/crypto/aes-gcm.js'
import { openFernet, sealFernet } from '../../src/crypto/fernet.js'
import { openGcmHex, sealGcmHex } from '../../src/crypto/gcm-hex.js'
import { hkdfSha256 } from '../../src/crypto/kdf.js'
import { need } from '../support/need.js'
import { findPython, NO_PYTHON } from './programs.js'

const COUNT = 1000

/** Reads questions as a JSON array, and answers with what Python's `cryptography` makes of each. */
const SCRIPT = `
import base64, json, sys
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

def answer(q):
    key, value, iv, aad = (bytes.fromhex(q[name]) for name in ("key", "value", "iv", "aad"))
    fernet = Fernet(base64.urlsafe_b64encode(key))
    iv_text, tag, sealed = q["gcmHex"].split(":")
    opened = AESGCM(key).decrypt(bytes.fromhex(iv_text), bytes.fromhex(sealed + tag), None)
    mine = AESGCM(key).encrypt(iv, value, None)
    return {
        "fernet": fernet.decrypt(q["fernet"].encode()).hex(),
        "gcmHex": opened.hex(),
        "gcm": AESGCM(key).decrypt(iv[:12], bytes.fromhex(q["gcm"]), aad).hex(),
        "hkdf": HKDF(hashes.SHA256(), 32, iv, aad).derive(key).hex(),
        "fernetOfPython": fernet.encrypt(value).decode(),
        "gcmHexOfPython": ":".join(part.hex() for part in (iv, mine[-16:], mine[:-16])),
        "gcmOfPython": AESGCM(key).encrypt(iv[:12], value, aad).hex(),
    }

print(json.dumps([answer(q) for q in json.load(sys.stdin)]))
`

const python = findPython()

it(`opens and seals ${COUNT} random values each way as Python's cryptography does`, (context) => {
  need(context, python !== undefined, NO_PYTHON)
  if (python === undefined) return
  const questions = Array.from({ length: COUNT }, (_, index) => {
    const [key, value, iv] = [randomBytes(32), randomBytes(index < 70 ? index : randomInt(5000)), randomBytes(16)]
    const aad = randomBytes(randomInt(100))
    const fernet = sealFernet(key, value, { epochSeconds: randomInt(2 ** 32), iv })
    return {
      key,
      value,
      iv,
      aad,
      fernet,
      gcmHex: sealGcmHex(key, value, iv),
      gcm: sealGcm(key, iv.subarray(0, 12), value, aad),
    }
  })
  const asHex = (_: string, value: unknown): unknown =>
    typeof value === 'object' && value !== null && 'data' in value
      ? Buffer.from(value.data as number[]).toString('hex')
      : value
  const input = JSON.stringify(questions, asHex)
  const { stdout, stderr } = spawnSync(python, ['-c', SCRIPT], { input, encoding: 'utf8', maxBuffer: 2 ** 28 })
  if (stdout === '') throw new Error(`Python answered nothing: ${stderr}`)
  const answers = JSON.parse(stdout) as Record<string, string>[]
  expect(answers).toHaveLength(COUNT)
  for (const [index, { key, value, iv, aad }] of questions.entries()) {
    const answer = answers[index] ?? {}
    const hex = value.toString('hex')
    expect([answer.fernet, answer.gcmHex, answer.gcm]).toEqual([hex, hex, hex])
    expect(answer.hkdf).toBe(hkdfSha256(key, iv, aad, 32).toString('hex'))
    expect(openFernet(key, answer.fernetOfPython)?.toString('hex')).toBe(hex)
    expect(openGcmHex(key, answer.gcmHexOfPython ?? '')?.toString('hex')).toBe(hex)
    expect(openGcm(key, iv.subarray(0, 12), Buffer.from(answer.gcmOfPython ?? '', 'hex'), aad)?.toString('hex')).toBe(
      hex,
    )
  }
  process.stderr.write(
    `values against Python: ${COUNT} each way, in Fernet, AES-256-GCM in hex and with additional data\n`,
  )
})
