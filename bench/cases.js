/**
 * What is measured against what, and the bounds that must hold; a case without a bound is there for comparison.
 *
 * A command is `{ argv, status, env }`; a case makes its commands anew for every run, since some of them can be run once
 * only (a credential is stored once). It is given a serial number and the run's index in its turn; all commands of a turn
 * share their environment.
 */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { writeLog } from './log.js'
import { makePeers } from './peers.js'
import { KEY, LAUNCHER, makeEnvironment, nameOf, OLDEST, runTool, upgradeCopy, writeTutorialVault } from './vaults.js'

const THOUSAND = 1000
const MANY = 10_000
const HOT = 1.3
const COLD = 1.6
const HOT_MANY = 1.8
const LONG_LOG = 1.3
const DUE_MANY = 1.5
const DUE_MEBIBYTES = 120

/** Prepares all files below a directory and gives the cases; `records` is the length of the long log. */
export function makeCases(root, { records }) {
  const world = prepare(root, records)
  const peers = makePeers(world)
  return {
    world: { cwd: root, env: world.env },
    ratios: [
      ...hotCases(world),
      ...peers.found.map((peer) => ({ ...peer, base: bare(world) })),
      ...coldCases(world),
      ...manyCases(world),
      ...logCases(world),
    ],
    memories: memoryCases(world),
    missing: peers.missing,
    end: peers.end,
  }
}

function prepare(root, records) {
  const env = makeEnvironment(root)
  const at = (name) => join(root, name)
  const empty = at('empty.js')
  writeFileSync(empty, '')
  // As beside the launcher, so that both are looked up in the same way.
  writeFileSync(at('package.json'), '{ "type": "commonjs" }\n')
  const makeLog = (name, count) => {
    writeLog(at(name), { count, nameOf: (index) => (index === 0 ? OLDEST : nameOf(index % MANY)) })
    return at(name)
  }
  const log = makeLog('long_log.json', records)
  const shortLog = makeLog('short_log.json', 11)
  const thousandLog = makeLog('log_of_thousand.json', 1000)
  const few = writeTutorialVault(at('tutorial'), 10)
  const many = writeTutorialVault(at('tutorial-many'), MANY)
  const native = upgradeCopy(few, at('native'), { env, log: shortLog })
  const token = runTool(['--vault', native, 'token', 'create', '--tools', 'web_search', '--ttl', '30d'], env)
  const thousand = writeTutorialVault(at('tutorial-thousand'), THOUSAND)
  const nativeThousand = upgradeCopy(thousand, at('native-thousand'), {
    env,
    log: makeLog('thousand_log.json', THOUSAND),
  })
  const nativeMany = upgradeCopy(many, at('native-many'), { env, log: makeLog('many_log.json', MANY + 1) })
  const tokenMany = runTool(['--vault', nativeMany, 'token', 'create', '--tools', 'web_search', '--ttl', '30d'], env)
  const nativeLong = upgradeCopy(few, at('native-long'), { env, log })
  return {
    root,
    env,
    at,
    empty,
    log,
    shortLog,
    thousandLog,
    few,
    many,
    native,
    nativeThousand,
    nativeMany,
    nativeLong,
    token,
    tokenMany,
  }
}

/** A run of mcpvault with the key at hand; `env` adds to it. */
function run(vault, args, { status = 0, env = {} } = {}) {
  const argv = [process.execPath, LAUNCHER, '--vault', vault, ...args]
  return { argv, status, env: { MCP_ENCRYPTION_KEY: KEY, ...env } }
}

/** A run where no key is at hand. */
function runKeyless(vault, args, options) {
  const command = run(vault, args, options)
  return { ...command, env: {} }
}

function bare({ empty }) {
  return () => ({ argv: [process.execPath, empty], status: 0, env: {} })
}

function hotCases(world) {
  const { few, native, shortLog, token } = world
  const name = nameOf(3)
  const check = () => run(native, ['token', 'check', '--tool', 'web_search'], { env: { MCPVAULT_TOKEN: token } })
  const hot = (title, make) => ({ title, bound: HOT, base: bare(world), make })
  return [
    hot('load NAME', () => run(native, ['load', name])),
    hot('load NAME, tutorial format', () => run(few, ['load', name])),
    hot('rotation-due NAME', () => runKeyless(native, ['rotation-due', name], { status: 1 })),
    hot('rotation-due NAME, key at hand', () => run(native, ['rotation-due', name], { status: 1 })),
    hot('rotation-due NAME, tutorial format', () =>
      runKeyless(few, ['--log', shortLog, 'rotation-due', name], { status: 1 }),
    ),
    hot('token check', check),
  ]
}

/** What a client that starts `headers` again and again waits for: a gateway's configuration is there, and a live token. */
function servedCopy({ at, env, native }) {
  const vault = join(at('served'), 'mcp_credentials.enc')
  const state = { XDG_STATE_HOME: at('served/state') }
  cpSync(dirname(native), at('served'), { recursive: true })
  const servers = { notes: { url: 'https://notes.example/mcp' } }
  writeFileSync(join(at('served'), 'mcpvault.json'), JSON.stringify({ mcpServers: servers }), { mode: 0o600 })
  runTool(['--vault', vault, 'headers', 'notes'], { ...env, ...state })
  return () => run(vault, ['headers', 'notes'], { env: state })
}

function coldCases(world) {
  const { at, few, native, token } = world
  const name = nameOf(3)
  const holder = { env: { MCPVAULT_TOKEN: token } }
  const cold = (title, make) => ({ title, bound: COLD, base: bare(world), make })
  const launcher = (...args) => ({ argv: [process.execPath, LAUNCHER, ...args], status: 0, env: {} })
  const fresh = (title, args) => cold(title, onFreshCopy(world, args))
  return [
    cold('--help', () => launcher('--help')),
    cold('--version', () => launcher('--version')),
    cold('rotate --help', () => launcher('rotate', '--help')),
    cold('help exit-codes', () => launcher('help', 'exit-codes')),
    cold('list', () => run(native, ['list'])),
    cold('list, tutorial format', () => run(few, ['list'])),
    cold('history', () => run(native, ['history', name])),
    cold('export', () => run(native, ['export'])),
    cold('status', () => run(native, ['status'])),
    cold('doctor', () => run(native, ['doctor'])),
    cold('key check', () => run(native, ['key', 'check'])),
    cold('log show', () => run(native, ['log', 'show', '-n', '5'])),
    cold('log verify', () => run(native, ['log', 'verify'])),
    cold('token narrow', () => run(native, ['token', 'narrow', '--ttl', '10m'], holder)),
    cold('token show', () => run(native, ['token', 'show'], holder)),
    cold('token list', () => run(native, ['token', 'list'])),
    cold('headers NAME', servedCopy(world)),
    cold('init', (serial) => {
      mkdirSync(at(`init-${serial}`), { mode: 0o700 })
      return run(at(`init-${serial}/mcp_credentials.enc`), ['init'])
    }),
    cold('upgrade', (serial) => run(writeTutorialVault(at(`upgrade-${serial}`), 3), ['upgrade'])),
    fresh('store', (serial) => ['store', `stored_${serial}`, '--generate']),
    fresh('rotate', () => ['rotate', name, '--generate']),
    cold('rotate, tutorial format', () => run(few, ['rotate', name, '--generate'])),
    fresh('rollback', (_, before) => {
      before(['rotate', nameOf(4), '--generate'])
      return ['rollback', nameOf(4)]
    }),
    fresh('rename', (serial, before) => {
      before(['store', `old_${serial}`, '--generate'])
      return ['rename', `old_${serial}`, `new_${serial}`]
    }),
    fresh('remove', (serial, before) => {
      before(['store', `removed_${serial}`, '--generate'])
      return ['remove', `removed_${serial}`, '--yes']
    }),
    fresh('import', (serial) => {
      writeFileSync(at(`${serial}.env`), `NAME_${serial}=value\n`)
      return ['import', at(`${serial}.env`)]
    }),
    fresh('backup', (serial) => ['backup', at(`backup-${serial}`)]),
    fresh('token create', () => ['token', 'create', '--tools', 'web_search']),
    fresh('token revoke', (serial, before) => {
      before(['token', 'create', '--tools', 'web_search', '--label', `label_${serial}`])
      return ['token', 'revoke', `label_${serial}`]
    }),
  ]
}

/**
 * Makes the commands of a turn on a copy of the native vault and of what the machine remembers of it, so that what one
 * turn wrote does not lengthen the next. `args` gets a serial number and a function that runs mcpvault beforehand.
 */
function onFreshCopy({ at, env, native }, args) {
  let vault = native
  let state = env.XDG_STATE_HOME
  return (serial, index) => {
    if (index === 0) {
      vault = at(`copy-${serial}/mcp_credentials.enc`)
      state = at(`copy-${serial}/state`)
      cpSync(dirname(native), dirname(vault), { recursive: true })
      cpSync(env.XDG_STATE_HOME, state, { recursive: true })
    }
    const before = (words) => runTool(['--vault', vault, ...words], { ...env, XDG_STATE_HOME: state })
    return run(vault, args(serial, before), { env: { XDG_STATE_HOME: state } })
  }
}

function manyCases(world) {
  const { native, nativeThousand, nativeMany, tokenMany } = world
  const name = nameOf(5000)
  const holder = { env: { MCPVAULT_TOKEN: tokenMany } }
  const many = (title, make) => ({ title: `${title}, 10,000 credentials`, bound: HOT_MANY, base: bare(world), make })
  return [
    many('load NAME', () => run(nativeMany, ['load', name])),
    many('rotation-due NAME', () => runKeyless(nativeMany, ['rotation-due', name], { status: 1 })),
    many('token check', () => run(nativeMany, ['token', 'check', '--tool', 'web_search'], holder)),
    ...[
      ['10', native, nameOf(5)],
      ['1,000', nativeThousand, nameOf(500)],
      ['10,000', nativeMany, name],
    ].flatMap(([count, vault, one]) => [
      { title: `load NAME of ${count}`, base: bare(world), make: () => run(vault, ['load', one]) },
      { title: `list of ${count}`, base: bare(world), make: () => run(vault, ['list']) },
      { title: `rotate of ${count}`, base: bare(world), make: () => run(vault, ['rotate', one, '--generate']) },
    ]),
  ]
}

function logCases({ at, few, many, native, nativeLong, nativeMany, log, shortLog, thousandLog }) {
  const none = at('no_log.json')
  const rotate = ['rotate', nameOf(7), '--generate']
  const due = ['rotation-due', '--format', 'nagios', '--exit-zero']
  return [
    {
      title: 'rotate, long log',
      bound: LONG_LOG,
      base: () => run(native, rotate),
      make: () => run(nativeLong, rotate),
    },
    {
      title: 'rotate, log of 1,000, tutorial format',
      bound: LONG_LOG,
      base: () => run(few, ['--log', shortLog, ...rotate]),
      make: () => run(few, ['--log', thousandLog, ...rotate]),
    },
    {
      title: 'rotate, long log, tutorial format',
      bound: LONG_LOG,
      base: () => run(few, ['--log', shortLog, ...rotate]),
      make: () => run(few, ['--log', log, ...rotate]),
    },
    {
      title: 'rotation-due, 10,000 credentials, long log',
      bound: DUE_MANY,
      base: () => runKeyless(nativeMany, ['--log', none, ...due]),
      make: () => runKeyless(nativeMany, ['--log', log, ...due]),
    },
    {
      title: 'rotation-due, 10,000 credentials, long log, tutorial format',
      bound: DUE_MANY,
      base: () => runKeyless(many, ['--log', none, ...due]),
      make: () => runKeyless(many, ['--log', log, ...due]),
    },
  ]
}

function memoryCases({ few, many, nativeLong, nativeMany, log }) {
  const memory = (title, command) => ({ title, bound: DUE_MEBIBYTES, command })
  const due = (name) => ['--log', log, 'rotation-due', name]
  return [
    memory('rotation-due NAME, long log', runKeyless(nativeLong, ['rotation-due', nameOf(3)], { status: 1 })),
    memory('rotation-due NAME, long log, tutorial format', runKeyless(few, due(nameOf(3)), { status: 1 })),
    memory('the same for the oldest record', runKeyless(few, due(OLDEST), { status: 1 })),
    memory(
      'rotation-due, 10,000 credentials, long log',
      runKeyless(nativeMany, ['--log', log, 'rotation-due'], { status: 1 }),
    ),
    memory(
      'rotation-due, 10,000 credentials, long log, tutorial format',
      runKeyless(many, ['--log', log, 'rotation-due'], { status: 1 }),
    ),
  ]
}
