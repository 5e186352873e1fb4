import { isAbsolute, join, resolve } from 'node:path'
import type { Context } from './context.js'

const DEFAULTS = { XDG_CONFIG_HOME: '.config', XDG_DATA_HOME: '.local/share', XDG_STATE_HOME: '.local/state' } as const

/**
 * Finds mcpvault's directory of a kind. A relative path in the environment is ignored, as the XDG Base Directory
 * Specification 0.8 asks.
 */
export function mcpvaultDirectory(kind: keyof typeof DEFAULTS, context: Pick<Context, 'env' | 'home'>): string {
  const named = context.env[kind]
  return join(named && isAbsolute(named) ? named : join(context.home, DEFAULTS[kind]), 'mcpvault')
}

/** Makes a path absolute; the current directory is asked for only if it counts, since it may be gone. */
export function absolutePath(path: string, context: Pick<Context, 'cwd'>): string {
  return isAbsolute(path) ? resolve(path) : resolve(context.cwd, path)
}
