import { VaultError } from '../errors.js'

const MAX_REASON_BYTES = 1000

/** Reads a `--reason`: a line of at most 1,000 bytes, since it stands in the log and in the vault's header. */
export function parseReason(text: string): string {
  if (Buffer.byteLength(text) > MAX_REASON_BYTES || /[\r\n\0]/.test(text) || !text.isWellFormed()) {
    throw new VaultError('USAGE', 'cannot read --reason: expected one line of at most 1,000 bytes')
  }
  return text
}
