import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { TestWorld } from '../support/context.js'
import {
  emptyTutorialWorld,
  json,
  nativeWorld,
  OTHER_KEY,
  read,
  rotate,
  store,
  succeed,
  tutorialWorld,
  VAULT,
  write,
} from '../cli/commands/support.js'
import { findingsIn, idsIn, pictureOf } from './doctor-support.js'

const DAY_MS = 86_400_000

const at = (world: TestWorld, name: string): string => join(world.directory, name)
const marksOf = (world: TestWorld): string => at(world, '.local/state/mcpvault')

/** A world whose vault has been written twice, with a token. */
async function usedWorld(): Promise<TestWorld> {
  const world = await nativeWorld()
  await store(world, 'scavio_api_key', 'sk_one')
  await rotate(world, 'scavio_api_key', 'sk_two')
  await succeed(world, 'token', 'create', '--tools', 'web_search')
  return world
}

/** Runs the command that the worst finding gives, as it is printed, and gives what it said; then all is settled. */
async function mend(world: TestWorld): Promise<string> {
  const [finding] = await findingsIn(world)
  expect(finding?.mend).toMatch(/^mcpvault log settle/)
  await succeed(world, ...(finding?.mend.split(' ').slice(1) ?? []))
  const said = world.stderr
  await succeed(world, 'log', 'settle')
  expect(world.stderr).toBe('the rotation log is settled already\n')
  return said
}

describe('a vault in good order', () => {
  it('has no findings, and nothing on the disk is touched', async () => {
    const world = await usedWorld()
    const before = pictureOf(world.directory)
    expect(await findingsIn(world)).toEqual([])
    expect(pictureOf(world.directory)).toEqual(before)
  })

  it('has a note when there is no key, and is looked at all the same', async () => {
    const world = await usedWorld()
    delete world.env.MCP_ENCRYPTION_KEY
    expect(await idsIn(world)).toEqual(['note key-missing'])
    writeFileSync(at(world, VAULT), read(world, VAULT).replace('"scavio_api_key"', '"scavio_api_kez'))
    expect(await idsIn(world)).toContain('error vault-damaged')
  })

  it('that was native and is in the tutorial format now was replaced', async () => {
    const world = await usedWorld()
    writeFileSync(at(world, VAULT), '{}')
    expect(await idsIn(world)).toContain('error vault-replaced')
    const mark = readdirSync(marksOf(world)).find((name) => name.startsWith('place-')) ?? ''
    rmSync(join(marksOf(world), mark))
    expect((await idsIn(world)).join()).not.toContain('vault-replaced')
  })

  it('in the tutorial format has notes only, before and after an upgrade', async () => {
    const world = tutorialWorld('python')
    chmodSync(at(world, VAULT), 0o600)
    expect(await idsIn(world)).toEqual(['note format-tutorial'])
    await succeed(world, 'upgrade')
    expect(await idsIn(world)).toEqual(['note old-values'])
  })
})

describe('modes', () => {
  it('of the vault, the token records and a key file are looked at, each with the command that mends it', async () => {
    const world = await usedWorld()
    const key = write(world, 'my key', `${world.env.MCP_ENCRYPTION_KEY}\n`, 0o644)
    delete world.env.MCP_ENCRYPTION_KEY
    chmodSync(at(world, VAULT), 0o644)
    chmodSync(at(world, 'mcp_tokens.jsonl'), 0o604)
    chmodSync(at(world, 'rotation_log.json'), 0o644)
    const findings = await findingsIn(world, '--key-file', key)
    expect(findings.map(({ id, severity }) => `${severity} ${id}`)).toEqual(Array(3).fill('warning file-readable'))
    expect(findings.map(({ what }) => /the (vault|token records|key file) /.exec(what)?.[1])).toEqual([
      'vault',
      'token records',
      'key file',
    ])
    for (const { mend } of findings) execFileSync('sh', ['-c', mend])
    expect(await findingsIn(world, '--key-file', key)).toEqual([])
  })

  it('under which others can write are errors, and the rest is still looked at', async () => {
    const world = await usedWorld()
    chmodSync(at(world, 'rotation_log.json'), 0o666)
    chmodSync(at(world, 'mcp_tokens.jsonl'), 0o622)
    chmodSync(at(world, VAULT), 0o602)
    chmodSync(world.directory, 0o777)
    const findings = await findingsIn(world)
    const errors = findings.filter(({ severity }) => severity === 'error')
    expect(errors.map(({ id }) => id)).toEqual([
      'file-writable',
      'file-writable',
      'file-writable',
      'directory-writable',
    ])
    for (const { mend } of errors) execFileSync('sh', ['-c', mend])
    expect((await findingsIn(world)).filter(({ severity }) => severity === 'error')).toEqual([])
  })

  it('of a key file that others can write are the reason not to use it', async () => {
    const world = await usedWorld()
    const key = write(world, 'key', `${world.env.MCP_ENCRYPTION_KEY}\n`)
    chmodSync(key, 0o666)
    expect(await idsIn(world, '--key-file', key)).toEqual(['error key-refused'])
  })

  it('of a directory that is shared and sticky are a warning', async () => {
    const world = await usedWorld()
    chmodSync(world.directory, 0o1777)
    expect(await idsIn(world)).toEqual(['warning directory-shared'])
  })
})

describe('the state directory', () => {
  it('is warned of where nothing can be kept in it', async () => {
    const world = await usedWorld()
    write(world, 'file', '')
    world.env.XDG_STATE_HOME = at(world, 'file/state')
    expect(await idsIn(world)).toContain('warning state-unwritable')
  })

  it('holds marks: a damaged one is an error', async () => {
    const names = readdirSync(marksOf(await usedWorld())).filter((name) => name.endsWith('.json'))
    expect(names).toHaveLength(2)
    for (const isPlace of [true, false]) {
      const world = await usedWorld()
      const mark = readdirSync(marksOf(world)).find((name) => name.startsWith('place-') === isPlace) ?? ''
      writeFileSync(join(marksOf(world), mark), '{"mark":{}}')
      const findings = await findingsIn(world)
      expect(findings.map(({ id }) => id)).toContain('mark-damaged')
    }
  })
})

describe('the key', () => {
  it('that does not fit is named with its source', async () => {
    const world = await usedWorld()
    world.env.MCP_ENCRYPTION_KEY = OTHER_KEY
    const [finding] = await findingsIn(world)
    expect(finding).toMatchObject({ id: 'key-wrong', severity: 'error' })
    expect(finding?.what).toContain('MCP_ENCRYPTION_KEY')
    const tutorial = tutorialWorld('node', { env: { MCP_ENCRYPTION_KEY: OTHER_KEY } })
    tutorial.env.MCP_ENCRYPTION_KEY = OTHER_KEY
    expect(await idsIn(tutorial)).toContain('error key-wrong')
  })

  it('is never printed when it is malformed', async () => {
    const world = await usedWorld()
    world.env.MCP_ENCRYPTION_KEY = 'hunter2'
    expect(await idsIn(world)).toEqual(['error key-refused'])
    expect(world.stdout + world.stderr).not.toContain('hunter2')
  })

  it('is not fetched by a program', async () => {
    const world = await usedWorld()
    delete world.env.MCP_ENCRYPTION_KEY
    world.env.MCP_ENCRYPTION_KEY_COMMAND = JSON.stringify(['touch', at(world, 'ran')])
    expect(await idsIn(world)).toEqual(['note key-missing'])
    expect(readdirSync(world.directory)).not.toContain('ran')
  })
})

describe('damage', () => {
  it('anywhere in a native vault is an error that points at the generation before', async () => {
    const world = await usedWorld()
    const bytes = readFileSync(at(world, VAULT))
    for (const position of [0, 20, Math.floor(bytes.length / 2), bytes.length - 10]) {
      const changed = Buffer.from(bytes)
      changed[position] = (changed[position] ?? 0) ^ 1
      writeFileSync(at(world, VAULT), changed)
      const findings = await findingsIn(world)
      const finding = findings.find(({ id }) => id === 'vault-damaged')
      expect(finding?.mend, `byte ${position}`).toBe(`cp -p ${at(world, VAULT)}.bak ${at(world, VAULT)}`)
      expect(findings.map(({ id }) => id)).not.toContain('old-values')
    }
  })

  it('of single credentials of a tutorial vault is told of each, and the others are opened', async () => {
    const world = tutorialWorld('python')
    chmodSync(at(world, VAULT), 0o600)
    const vault = JSON.parse(read(world, VAULT)) as Record<string, unknown>
    const [first = '', second = '', third = ''] = Object.keys(vault)
    const text = String(vault[first])
    vault[first] = `${text.slice(0, 40)}${text[40] === 'A' ? 'B' : 'A'}${text.slice(41)}`
    vault[second] = 7
    writeFileSync(at(world, VAULT), JSON.stringify(vault))
    const findings = (await findingsIn(world)).filter(({ id }) => id === 'credential-damaged')
    expect(findings.map(({ mend }) => mend).sort()).toEqual(
      [`mcpvault rotate ${first}`, `mcpvault rotate ${second}`].sort(),
    )
    expect(world.stdout).not.toContain(`"${third}\\"`)
  })

  it('of very many credentials is cut short', async () => {
    const world = await emptyTutorialWorld()
    const vault = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`key_${index}`, 'odd']))
    writeFileSync(at(world, VAULT), JSON.stringify(vault))
    const findings = (await findingsIn(world)).filter(({ id }) => id === 'credential-damaged')
    expect(findings).toHaveLength(20)
    expect(findings.at(-1)?.what).toContain('and 480 more')
  })
})

describe('the clock', () => {
  it('is doubted when dates lie ahead of it, and not for a few minutes', async () => {
    const world = await usedWorld()
    world.nowMs -= 60_000
    expect(await idsIn(world)).toEqual([])
    world.nowMs -= 2 * DAY_MS
    expect(await idsIn(world)).toEqual(['warning clock-vault', 'warning clock-log', 'warning clock-tokens'])
  })

  it('of a tutorial program may be in another zone', async () => {
    const world = tutorialWorld('python')
    chmodSync(at(world, VAULT), 0o600)
    const log = JSON.parse(read(world, 'rotation_log.json')) as { rotated_at: string }[]
    const last = log.at(-1)
    const write = (hours: number): void => {
      if (last) last.rotated_at = new Date(world.nowMs + hours * 3_600_000).toISOString().slice(0, -1)
      writeFileSync(at(world, 'rotation_log.json'), JSON.stringify(log))
    }
    write(10)
    expect(await idsIn(world)).toEqual(['note format-tutorial'])
    write(50)
    expect(await idsIn(world)).toEqual(['warning clock-log', 'note format-tutorial'])
  })
})

describe('the log', () => {
  it('that was edited, cut or is ahead of an old vault is an error', async () => {
    const world = await usedWorld()
    const log = read(world, 'rotation_log.json')
    writeFileSync(at(world, 'rotation_log.json'), log.replace('"created"', '"rotated"'))
    expect(await idsIn(world)).toContain('error log-changed')
    const [open = '', first = '', ...rest] = log.split('\n')
    writeFileSync(
      at(world, 'rotation_log.json'),
      [open, ...rest.slice(0, 1).map((line) => line.slice(1)), ...rest.slice(1)].join('\n'),
    )
    expect(first).toContain('"seq":1')
    expect(await idsIn(world)).toContain('error log-chain')
    writeFileSync(at(world, 'rotation_log.json'), 'nonsense')
    const [finding] = await findingsIn(world)
    expect(finding).toMatchObject({ id: 'log-damaged', mend: expect.stringMatching(/^mv /) })
  })

  it('whose end is torn or whose last record is still in the vault is told of, and settled as is said', async () => {
    const world = await usedWorld()
    const log = read(world, 'rotation_log.json')
    writeFileSync(at(world, 'rotation_log.json'), `${log.slice(0, -2)},{"credential":"sca`)
    expect(await idsIn(world)).toEqual(['note log-torn'])
    expect(await mend(world)).toBe('cut off an unfinished record\n')
    expect(read(world, 'rotation_log.json')).toBe(log)
    const vault = read(world, VAULT)
    const records = log.trimEnd().split('\n')
    writeFileSync(at(world, 'rotation_log.json'), `${[...records.slice(0, -2), ']'].join('\n')}\n`)
    expect(await idsIn(world)).toEqual(['warning log-pending'])
    expect(await mend(world)).toBe('appended 1 record to the rotation log\n')
    expect(read(world, 'rotation_log.json')).toBe(log)
    expect(read(world, VAULT)).toBe(vault)
  })
})

describe('an old copy', () => {
  it('of the vault is an error, and a warning where git has checked it out', async () => {
    const world = await usedWorld()
    copyFileSync(at(world, VAULT), at(world, 'copy'))
    await rotate(world, 'scavio_api_key', 'sk_three')
    renameSync(at(world, 'copy'), at(world, VAULT))
    expect(new Set(await idsIn(world))).toEqual(new Set(['error vault-restored', 'error log-ahead']))
    mkdirSync(at(world, '.git'))
    const inGit = new Set(await idsIn(world))
    expect(inGit).toEqual(new Set(['error log-ahead', 'warning vault-restored', 'note git']))
    const live = await json(world, 'list')
    expect(await mend(world)).toContain('went on from this state, which the rotation log now says\n')
    expect(await idsIn(world)).toEqual(['note git'])
    expect(await json(world, 'list')).toEqual(live)
  })

  it('of the token records is an error that revoking everything mends', async () => {
    const world = await usedWorld()
    copyFileSync(at(world, 'mcp_tokens.jsonl'), at(world, 'copy'))
    await succeed(world, 'token', 'revoke', '--all')
    renameSync(at(world, 'copy'), at(world, 'mcp_tokens.jsonl'))
    const [finding] = await findingsIn(world)
    expect(finding).toMatchObject({ id: 'tokens-restored', severity: 'error' })
    await succeed(world, ...(finding?.mend.split(' ').slice(1) ?? []))
    expect(await findingsIn(world)).toEqual([])
  })

  it('is not what a vault is that is written while it is examined', async () => {
    const world = await usedWorld()
    // The mark is read after the vault: a writer comes between, once.
    const { examine } = await import('../../src/doctor/examine.js')
    const { lookingOnly } = await import('../../src/doctor/scene.js')
    const { createAccess } = await import('../../src/cli/open-vault.js')
    const context = world.context()
    const switches = { json: false, quiet: false, input: false, color: false, debug: false }
    const options = { ...switches, acceptRestore: false, trustNewKey: false }
    const access = createAccess(at(world, VAULT), options, { context, warn: () => {} })
    const looking = lookingOnly(access.store)
    const before = readFileSync(at(world, VAULT))
    await rotate(world, 'scavio_api_key', 'sk_three')
    const after = readFileSync(at(world, VAULT))
    writeFileSync(at(world, VAULT), before)
    let reads = 0
    const marks = {
      ...looking.marks,
      read: (id: string) => {
        if (!id.startsWith('place-') && ++reads === 1) writeFileSync(at(world, VAULT), after)
        return looking.marks.read(id)
      },
    }
    const scene = {
      access: { ...access, store: { ...looking, marks } },
      key: { kind: 'none' } as const,
      host: context.host,
      stateDirectory: marksOf(world),
      env: world.env,
    }
    expect(examine(scene).findings.map(({ id }) => id)).toEqual(['key-missing'])
    expect(reads).toBe(2)
  })
})

describe('token records', () => {
  it('that are damaged are an error whose command starts over', async () => {
    const world = await usedWorld()
    writeFileSync(at(world, 'mcp_tokens.jsonl'), read(world, 'mcp_tokens.jsonl').replace('web_search', 'web_seerch'))
    const [finding] = await findingsIn(world)
    expect(finding).toMatchObject({ id: 'tokens-damaged', severity: 'error' })
    expect(finding?.mend).toMatch(/^mv .* && mcpvault token revoke --all --accept-restore$/)
    delete world.env.MCP_ENCRYPTION_KEY
    writeFileSync(at(world, 'mcp_tokens.jsonl'), 'x\n')
    expect(await idsIn(world)).toEqual(['error tokens-damaged', 'note key-missing'])
  })
})

describe('what lies about', () => {
  it('is found: temporary files, and older values of a tutorial vault', async () => {
    const world = await emptyTutorialWorld()
    await store(world, 'a_key', 'one')
    await rotate(world, 'a_key', 'two')
    write(world, `.${VAULT}.tmp-0123456789abcdef`, 'rest')
    write(world, `.${VAULT}.tmp-0123`, 'not ours')
    const findings = await findingsIn(world)
    expect(findings.map(({ id }) => id)).toEqual(['format-tutorial', 'temp-file', 'old-values'])
    for (const { id, mend } of findings) {
      if (id !== 'format-tutorial') execFileSync('sh', ['-c', mend.replace('rm -i', 'rm')])
    }
    expect(await idsIn(world)).toEqual(['note format-tutorial'])
  })

  it('in a git work tree is told of, with the plain text beside the vault and the key below it', async () => {
    const world = await usedWorld()
    mkdirSync(at(world, '.git'))
    const key = write(world, 'vault.key', `${world.env.MCP_ENCRYPTION_KEY}\n`)
    const findings = await findingsIn(world, '--key-file', key)
    expect(findings.map(({ id }) => id)).toEqual(['git', 'key-in-git'])
    expect(findings[0]?.what).toContain('rotation_log.json')
    rmSync(at(world, 'rotation_log.json'))
    expect((await findingsIn(world)).find(({ id }) => id === 'git')?.what).not.toContain('rotation_log.json')
  })
})
