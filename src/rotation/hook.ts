import { programError, type RotationWorld, runProgram } from './programs.js'
import type { HookSpec } from './spec.js'

/** The rotation that a hook runs for. */
export interface HookRequest {
  readonly credential: string
  /** The version that is live now; undefined where the format has none. */
  readonly version?: number | undefined
}

/**
 * Runs what a policy names for after a rotation; it gets no secret, and what it prints is shown.
 *
 * @throws {VaultError} ROTATION if it does not exit 0.
 */
export async function runHook(hook: HookSpec, request: HookRequest, world: RotationWorld): Promise<void> {
  const end = await runProgram(hook, { stdin: undefined, showing: { role: 'hook', secrets: [], world } }, world)
  const { failure } = end
  if (failure === undefined) return
  const version = request.version === undefined ? '' : ` to version ${request.version}`
  const action = `finish the rotation of "${request.credential}"${version}`
  throw programError(action, { role: 'hook', argv: hook, reason: failure })
}
