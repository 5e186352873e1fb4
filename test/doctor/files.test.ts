import { describe, expect, it } from 'vitest'
import { judgeDirectories, judgeFile, judgeState } from '../../src/doctor/files.js'
import { capFindings, type Finding, isTroubled, sortFindings } from '../../src/doctor/finding.js'
import type { PathFact } from '../../src/storage/inspect.js'

const HOST = { pid: 1, platform: 'linux', uid: 1000 }
const ROOT = { ...HOST, uid: 0 }
const NO_USERS = { ...HOST, uid: -1 }

function fact(changes: Partial<PathFact> = {}): PathFact {
  return {
    path: '/srv/mcp/vault',
    kind: 'file',
    reason: undefined,
    uid: 1000,
    canOthersRead: false,
    canOthersWrite: false,
    isSticky: false,
    isReadable: true,
    isWritable: true,
    ...changes,
  }
}

const idsOf = (findings: readonly Finding[]): readonly string[] => findings.map(({ id }) => id)

describe('a file', () => {
  it.each([
    ['of another user', { uid: 1001 }, HOST, ['file-owner']],
    ['of root, as systemd hands them out', { uid: 0 }, HOST, []],
    ['of another user, for root', { uid: 1001 }, ROOT, []],
    [
      'that others can read and write',
      { canOthersRead: true, canOthersWrite: true },
      HOST,
      ['file-writable', 'file-readable'],
    ],
    ['where modes mean nothing', { canOthersWrite: true }, NO_USERS, []],
    ['that is a directory, which reading it says', { kind: 'directory', canOthersWrite: true }, HOST, []],
    ['that is not there', { kind: 'absent', uid: undefined }, HOST, []],
  ] as const)('%s is judged', (_, changes, host, expected) => {
    expect(idsOf(judgeFile({ what: 'vault', fact: fact(changes) }, host))).toEqual(expected)
  })

  it('that is meant to be read may be read', () => {
    expect(judgeFile({ what: 'rotation log', fact: fact({ canOthersRead: true }), isPublic: true }, HOST)).toEqual([])
  })

  it('is quoted for a shell', () => {
    const [finding] = judgeFile(
      { what: 'vault', fact: fact({ path: "/srv/it's $(mine)", canOthersWrite: true }) },
      HOST,
    )
    expect(finding?.mend).toBe(`chmod go-w '/srv/it'\\''s $(mine)'`)
  })
})

describe('a directory', () => {
  const directory = (path: string, changes: Partial<PathFact> = {}): PathFact =>
    fact({ path, kind: 'directory', ...changes })

  it('that others can write is an error wherever it stands above the vault, and told of once', () => {
    const chain = [directory('/srv/mcp'), directory('/srv', { canOthersWrite: true })]
    expect(judgeDirectories([chain, chain], HOST)).toMatchObject([
      { id: 'directory-writable', mend: 'chmod go-w /srv' },
    ])
  })

  it('that is sticky counts only where the vault itself lies in it', () => {
    const sticky = directory('/tmp', { canOthersWrite: true, isSticky: true, uid: 0 })
    expect(idsOf(judgeDirectories([[directory('/tmp/own'), sticky]], HOST))).toEqual([])
    expect(idsOf(judgeDirectories([[sticky]], HOST))).toEqual(['directory-shared'])
  })

  it('of another user can be changed by that user', () => {
    const chain = [directory('/home/you', { uid: 1001 }), directory('/home', { uid: 0 })]
    expect(idsOf(judgeDirectories([chain], HOST))).toEqual(['directory-owner'])
    expect(idsOf(judgeDirectories([chain], ROOT))).toEqual([])
  })
})

describe('the state directory', () => {
  const state = (nearest: Partial<PathFact>): string | undefined =>
    judgeState([fact({ path: '/home/me/.local', kind: 'directory', ...nearest })], {
      host: HOST,
      stateDirectory: '/home/me/.local/state/mcpvault',
    })[0]?.mend

  it('must be one that can be written, or made', () => {
    expect(state({})).toBeUndefined()
    expect(state({ isWritable: false })).toBe('chmod u+rwx /home/me/.local')
    expect(state({ isWritable: false, uid: 0 })).toBe('sudo install -d -m 700 -o 1000 /home/me/.local/state/mcpvault')
    expect(state({ kind: 'file' })).toBe('export XDG_STATE_HOME="$HOME/.local/state"')
  })
})

describe('findings', () => {
  const finding = (severity: Finding['severity'], id: string): Finding => ({ id, severity, what: id, mend: 'true' })

  it('are sorted by severity and otherwise left in their order', () => {
    const findings = [finding('note', 'a'), finding('error', 'b'), finding('warning', 'c'), finding('error', 'd')]
    expect(idsOf(sortFindings(findings))).toEqual(['b', 'd', 'c', 'a'])
    expect([isTroubled(findings), isTroubled([finding('note', 'a')]), isTroubled([])]).toEqual([true, false, false])
  })

  it('of one kind are cut to the first few', () => {
    const findings = ['a', 'b', 'c', 'd'].map((id) => finding('error', id))
    expect(capFindings(findings, 4)).toEqual(findings)
    expect(capFindings(findings, 9)).toEqual(findings)
    expect(capFindings(findings, 2).map(({ what }) => what)).toEqual(['a', 'b; and 2 more like this'])
  })
})
