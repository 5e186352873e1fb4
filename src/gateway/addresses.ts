/** Which addresses a credential may be sent to: a name that turns out to mean this network is not one. */

import { lookup as systemLookup, type LookupAddress } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'

/** What a name must not lead to unless the configuration says so (IANA special-purpose registries, cloud metadata). */
const PRIVATE: readonly (readonly [address: string, prefix: number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
  ['::', 128],
  ['::1', 128],
  ['64:ff9b:1::', 48],
  ['100::', 64],
  ['2001:db8::', 32],
  ['fc00::', 7],
  ['fe80::', 10],
  ['fec0::', 10],
  ['ff00::', 8],
]

const blocked = createBlockList()

function createBlockList(): BlockList {
  const list = new BlockList()
  for (const [address, prefix] of PRIVATE) list.addSubnet(address, prefix, isIP(address) === 6 ? 'ipv6' : 'ipv4')
  return list
}

/** Whether an address is of this machine, this network, link-local, reserved or a cloud's metadata. */
export function isPrivateAddress(address: string): boolean {
  const family = isIP(address)
  if (family === 0) return true
  if (family === 4) return blocked.check(address, 'ipv4')
  return blocked.check(address, 'ipv6') || isPrivateEmbedded(address)
}

/** IPv4 in IPv6: mapped (::ffff:0:0/96), NAT64 (64:ff9b::/96) and 6to4 (2002::/16) addresses lead to the IPv4 address. */
function isPrivateEmbedded(address: string): boolean {
  const groups = expand(address)
  const [first = 0, second = 0, third = 0] = groups
  const ipv4 = (high = 0, low = 0): string => [high >> 8, high & 255, low >> 8, low & 255].join('.')
  const tail = ipv4(groups[6], groups[7])
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && (groups[5] === 0xffff || groups[5] === 0)
  if (isMapped || (first === 0x64 && second === 0xff9b)) return blocked.check(tail, 'ipv4')
  return first === 0x2002 && blocked.check(ipv4(second, third), 'ipv4')
}

function expand(address: string): readonly number[] {
  const plain = address.replace(/%.*$/, '').replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) => {
    const group = (high: unknown, low: unknown): string => (Number(high) * 256 + Number(low)).toString(16)
    return `${group(a, b)}:${group(c, d)}`
  })
  const [head = '', tail] = plain.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const missing = Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0')
  return [...left, ...(tail === undefined ? [] : missing), ...right].map((group) => Number.parseInt(group, 16))
}

/** Whether a host in a configuration says by itself that it is on this machine or network. */
export function namesPrivateHost(hostname: string): boolean {
  const bare = hostname.replace(/^\[|\]$/g, '')
  return bare === 'localhost' || bare.endsWith('.localhost') || (isIP(bare) !== 0 && isPrivateAddress(bare))
}

/** Asks the system for the addresses of a name. */
export type Resolve = (hostname: string, done: (error: Error | null, found: readonly LookupAddress[]) => void) => void

/**
 * Makes the look-up of an origin: what it gives is what is connected to, so that nothing can change in between. Private
 * addresses are left out unless they are allowed, and a name with no other address is an error.
 */
export function createLookup(allowsPrivate: boolean, resolve: Resolve = resolveAll): LookupFunction {
  return (hostname, { family, all }, done) => {
    resolve(hostname, (error, found) => {
      const fitting = found.filter((one) => (family === 4 || family === 6 ? one.family === family : true))
      const usable = allowsPrivate ? fitting : fitting.filter(({ address }) => !isPrivateAddress(address))
      const [first] = usable
      if (error !== null || first === undefined) done(error ?? refusal(fitting.length), '')
      else if (all === true) done(null, [...usable])
      else done(null, first.address, first.family)
    })
  }
}

const resolveAll: Resolve = (hostname, done) =>
  systemLookup(hostname, { all: true }, (error, found) => done(error, found ?? []))

function refusal(refused: number): NodeJS.ErrnoException {
  const code = refused === 0 ? 'ENOTFOUND' : 'MCPVAULT_PRIVATE_ADDRESS'
  return Object.assign(new Error(code), { code })
}
