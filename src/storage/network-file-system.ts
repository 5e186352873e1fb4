/** Tells file systems of this machine from those that other machines may be writing at the same time. */

import { statfsSync } from 'node:fs'
import { createRequire } from 'node:module'

/**
 * statfs(2) types whose files other machines can see. FUSE is here because nothing tells sshfs from a local disk; so
 * are the shared folders of virtual machines.
 */
const SHARED_TYPES: ReadonlySet<number> = new Set([
  0x6969, // NFS
  0x517b, // SMB
  0xff534d42, // CIFS
  0xfe534d42, // SMB2
  0x65735546, // FUSE, virtiofs
  0x01021997, // 9P
  0x786f4256, // VirtualBox shared folders
  0xbacbacbc, // VMware shared folders
  0x73757245, // Coda
  0x5346414f, // AFS
  0x6b414653, // AFS in the kernel
  0x00c36400, // Ceph
  0x7461636f, // OCFS2
  0x01161970, // GFS2
  0x0bd00bd0, // Lustre
  0x47504653, // GPFS
  0x19830326, // BeeGFS
  0x564c, // NCP
])

/** Tells whether other machines may write in a directory; true when that cannot be found out. */
export function isShared(directory: string, platform: string): boolean {
  try {
    return platform === 'linux' ? SHARED_TYPES.has(statfsSync(directory).type >>> 0) : !isLocalOnMac(directory)
  } catch {
    return true
  }
}

/** macOS numbers its file systems anew at each boot, but `mount` says `local` of those that are. */
function isLocalOnMac(directory: string): boolean {
  const { spawnSync } = createRequire('/')('node:child_process') as typeof import('node:child_process')
  const run = (program: string, args: readonly string[]): string =>
    spawnSync(program, args, { encoding: 'utf8', env: { LC_ALL: 'C' }, timeout: 10_000 }).stdout ?? ''
  const device = run('/bin/df', ['-P', directory]).split('\n')[1]?.split(/\s+/)[0]
  const mount = run('/sbin/mount', [])
    .split('\n')
    .find((line) => device !== undefined && line.startsWith(`${device} on `))
  return mount !== undefined && /\([^()]*\blocal\b[^()]*\)$/.test(mount)
}
