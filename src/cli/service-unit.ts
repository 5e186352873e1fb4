/** The text of the systemd unit that keeps the gateway running. Pure: words in, text out. */

import { execStart, systemdWord, type TimedCommand } from './schedule-text.js'

/** What the service runs, and as whom. */
export interface LastingCommand extends TimedCommand {
  /** The name of the user; root is what nobody should run it as. */
  readonly user: string
  /** Absolute paths of the folders that it writes to. */
  readonly writes: readonly string[]
}

/**
 * What the service may not do (systemd.exec(5)). Left out on purpose, since something needs it: MemoryDenyWriteExecute
 * (V8 makes code), ProcSubset (locks tell boots apart by /proc/sys), PrivateUsers and ~@privileged (a vault of a team is
 * written for its group).
 */
const HARDENING = `NoNewPrivileges=true
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=true
PrivateDevices=true
PrivateMounts=true
ProtectProc=invisible
ProtectClock=true
ProtectControlGroups=true
ProtectHostname=true
ProtectKernelLogs=true
ProtectKernelModules=true
ProtectKernelTunables=true
KeyringMode=private
LockPersonality=true
RemoveIPC=true
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
LimitCORE=0
UMask=0077
`

/** Writes the unit of a service that lasts, for the system's manager. @throws {VaultError} INPUT */
export function formatLastingService(command: LastingCommand): string {
  const { unit, summary, user, writes } = command
  return `# ${unit}.service
[Unit]
Description=mcpvault: ${summary}
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
User=${systemdWord(user)}
${execStart(command)}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=5
TimeoutStopSec=20

# The programs that it starts live under these limits too: what they write needs a ReadWritePaths of its own.
ReadWritePaths=${writes.map(systemdWord).join(' ')}
${HARDENING}
[Install]
WantedBy=multi-user.target
`
}
