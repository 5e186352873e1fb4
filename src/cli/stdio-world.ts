import type { StdioWorld } from '../gateway/serve-stdio.js'
import type { VaultAccess } from '../vault/vault.js'
import type { Context } from './context.js'

/** What serving one client on stdin and stdout needs; the log goes to stderr. */
export function stdioWorld(access: VaultAccess, context: Context): StdioWorld {
  return {
    access,
    input: context.stdin.chunks(),
    writeOutput: (line) => context.stdout.write(line),
    writeLog: (line) => context.stderr.write(line),
    onSignal: (name, listener) => context.onSignal(name, listener),
    monotonicMs: () => performance.now(),
    env: context.env,
    guardGroup: (start) => context.guardGroup(start),
  }
}
