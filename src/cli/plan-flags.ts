import { parseDuration } from '../duration.js'
import {
  formatHook,
  formatProbe,
  formatProvider,
  formatTarget,
  parseHook,
  parseProbe,
  parseProvider,
  parseTarget,
} from '../rotation/spec.js'
import type { Flag } from './flags.js'

/** The members that {@link PLAN_FLAGS} make; the texts are SPECs in their canonical spelling. */
export interface PlanOptions {
  readonly provider?: string
  readonly verify?: string
  /** Empty when none was given. */
  readonly targets: readonly string[]
  readonly onRotate?: string
}

/** The flags that say how a credential is rotated, for its policy and for one rotation. */
export const PLAN_FLAGS: readonly Flag[] = [
  {
    key: 'provider',
    long: '--provider',
    value: 'SPEC',
    help: 'who makes the new value: manual, generate:48, command:CMD',
    parse: (text) => formatProvider(parseProvider(text)),
  },
  {
    key: 'verify',
    long: '--verify',
    value: 'SPEC',
    help: 'who tries it before it is live: scavio, command:CMD, http:@FILE',
    parse: (text) => formatProbe(parseProbe(text)),
  },
  {
    key: 'targets',
    long: '--target',
    value: 'SPEC',
    isList: true,
    help: 'where else it is written: json:FILE#/POINTER, env:FILE#NAME, file:FILE; may be repeated',
    parse: (text) => formatTarget(parseTarget(text)),
  },
  {
    key: 'onRotate',
    long: '--on-rotate',
    value: 'CMD',
    help: 'what runs afterwards: a program, or a JSON array of it and its arguments',
    parse: (text) => formatHook(parseHook(text)),
  },
]

/** The flag `--grace`, with what holds unless it is given. */
export function graceFlag(help: string): Flag {
  return { key: 'graceSeconds', long: '--grace', value: 'TIME', help, parse: (text) => parseDuration(text) }
}
