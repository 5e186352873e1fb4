import { parseDuration } from '../duration.js'
import { VaultError } from '../errors.js'
import { isMethod, METHODS, type Method } from '../tokens/caveats.js'
import type { Flag } from './flags.js'

/** Reads `--tools a,b`; white space around a name is dropped, an empty name is an error. */
export function parseNames(text: string): readonly string[] {
  const names = text.split(',').map((name) => name.trim())
  if (names.includes(''))
    throw new VaultError('USAGE', 'cannot read --tools: a name is empty', { hints: ['names are separated by commas'] })
  return names
}

/** Reads `--methods tools,resources`. */
export function parseMethods(text: string): readonly Method[] {
  const methods = text.split(',').map((name) => name.trim())
  if (!methods.every(isMethod))
    throw new VaultError('USAGE', `cannot read --methods: expected some of ${METHODS.join(', ')}`)
  return methods
}

/** `--tools` */
export const TOOLS_FLAG: Flag = {
  key: 'tools',
  long: '--tools',
  value: 'NAMES',
  help: 'tools that may be called, separated by commas',
  parse: parseNames,
}
/** `--methods` */
export const METHODS_FLAG: Flag = {
  key: 'methods',
  long: '--methods',
  value: 'NAMES',
  help: `MCP features: ${METHODS.join(', ')} (tools)`,
  parse: parseMethods,
}
/** `--ttl` */
export const TTL_FLAG: Flag = {
  key: 'ttlSeconds',
  long: '--ttl',
  value: 'TIME',
  help: 'how long it lives',
  parse: (text) => parseDuration(text),
}
