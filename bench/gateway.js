/**
 * Measures the gateway under load, side by side with the server that it stands in front of, and with mcp-proxy in front of
 * the same server: `npm run bench:gateway -- [--quick] [--only TEXT] [--no-fail] | --soak CALLS [--minutes N]`.
 *
 * An absolute number proves nothing, so all are measured in turns, and the median of the turns' ratios is held to the
 * bounds. Load, gateway and server are three processes: with fewer cores than that the gateway shares with those that it
 * is compared with, and the CPU time of a call says more than the ratios. Against the server alone the bounds stand for
 * one made with the SDK, against mcp-proxy for one that costs nothing (docs/decisions/0011-gateway-speed.md); `bare` does nothing at all for its answer, so that nearly all of a call is the cost of the gateway. `pass-through` is
 * a relay that does nothing but relay: what it does not reach, no gateway on this runtime does.
 *
 * Only a whole run writes bench/gateway-results.json, and each soak bench/soak-results.json. `--soak` makes so many calls, or as many as the minutes (30) allow,
 * and watches the gateway's memory.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { cpuMilliseconds, startWorld } from './gateway-world.js'
import { median } from './measure.js'
import { soak } from './soak.js'

const CONNECTIONS = [1, 32, 64]
const options = readOptions(process.argv.slice(2))
const SIZE = options.isQuick ? { turns: 3, seconds: 0.5, warming: 1000 } : { turns: 7, seconds: 0.8, warming: 3000 }

/** What is held against what, in requests per second, and the least that must come out of it. */
const BOUNDS = [
  { made: 'relay', base: 'upstream', connections: [1, 32], atLeast: 0.6 },
  { made: 'relay', base: 'mcp-proxy', connections: [] },
  { made: 'bridge', base: 'mcp-proxy', connections: [32], atLeast: 2 },
  { made: 'relay, bare', base: 'upstream, bare', connections: [] },
  { made: 'relay, bare', base: 'mcp-proxy, bare', connections: [1, 32], atLeast: 3 },
  { made: 'pass-through', base: 'upstream', connections: [] },
  { made: 'relay', base: 'pass-through', connections: [] },
  { made: 'pass-through', base: 'mcp-proxy', connections: [] },
]

const root = mkdtempSync(join(tmpdir(), 'mcpvault-bench-gateway-'))
try {
  process.exitCode = (await bench()) || options.mayFail ? 0 : 1
} finally {
  rmSync(root, { recursive: true, force: true })
}

async function bench() {
  progress('starting servers')
  const world = await startWorld(root)
  try {
    return options.soak === undefined
      ? await measure(world)
      : await soak(world, { calls: options.soak, minutes: options.minutes, progress })
  } finally {
    await world.end()
  }
}

async function measure(world) {
  const cases = casesOf(world).filter(({ title }) => title.includes(options.only))
  for (const { title, target } of cases) {
    progress(`warming up: ${title}`)
    await world.run({ ...jobOf(target), connections: 16, calls: SIZE.warming })
  }
  const rows = []
  for (const connections of CONNECTIONS) rows.push(...(await measureAt(connections, cases, world)))
  progress('')
  const ratios = BOUNDS.flatMap((bound) => CONNECTIONS.flatMap((connections) => compare(rows, bound, connections)))
  printCases(rows)
  console.log()
  printRatios(ratios)
  if (world.proxy === undefined) console.log('not installed, so not compared: mcp-proxy')
  if (!options.isQuick && options.only === '') writeResults(rows, ratios, world)
  return ratios.every(({ isWithin }) => isWithin)
}

function casesOf({ sdk, bare, gateway, pass, proxy, bareProxy }) {
  return [
    { title: 'upstream', target: sdk },
    { title: 'relay', target: gateway.sdk },
    { title: 'bridge', target: gateway.stdio },
    { title: 'mcp-proxy', target: proxy },
    { title: 'upstream, bare', target: bare },
    { title: 'relay, bare', target: gateway.bare },
    { title: 'mcp-proxy, bare', target: bareProxy },
    { title: 'pass-through', target: pass },
  ].filter(({ target }) => target !== undefined)
}

/** Turns go round all cases, so that a slow minute of the machine falls on all of them. */
async function measureAt(connections, cases, world) {
  const rows = cases.map(({ title }) => ({ title, connections, turns: [] }))
  for (let turn = 0; turn < SIZE.turns; turn += 1) {
    const order = turn % 2 === 0 ? [...cases.entries()] : [...cases.entries()].reverse()
    for (const [index, { title, target }] of order) {
      progress(`${connections} connections, turn ${turn + 1} of ${SIZE.turns}: ${title}`)
      const { pid } = target
      const before = cpuMilliseconds(pid)
      const result = await world.run({ ...jobOf(target), connections, seconds: SIZE.seconds })
      const cpu = before === undefined ? undefined : ((cpuMilliseconds(pid) - before) * 1000) / result.calls
      rows[index].turns.push({ ...result, cpu })
    }
  }
  return rows
}

function jobOf({ url, headers }) {
  return { url, headers }
}

function compare(rows, { made, base, connections: held, atLeast }, connections) {
  const find = (title) => rows.find((row) => row.title === title && row.connections === connections)
  const [one, other] = [find(made), find(base)]
  if (one === undefined || other === undefined) return []
  const ratio = median(one.turns.map(({ perSecond }, turn) => perSecond / other.turns[turn].perSecond))
  const bound = held.includes(connections) ? atLeast : undefined
  return [{ title: `${made} / ${base}`, connections, bound, ratio, isWithin: bound === undefined || ratio >= bound }]
}

function summarise({ title, connections, turns }) {
  const middle = (member) => median(turns.map((turn) => turn[member]))
  const hasCpu = turns.every(({ cpu }) => cpu !== undefined)
  return {
    title,
    connections,
    perSecond: Math.round(middle('perSecond')),
    p50Milliseconds: round(middle('p50')),
    p99Milliseconds: round(middle('p99')),
    ...(hasCpu ? { cpuMicroseconds: Math.round(middle('cpu')) } : {}),
  }
}

function printCases(rows) {
  const header = ['', 'connections', 'calls/s', 'p50 ms', 'p99 ms', 'CPU µs/call']
  const cells = rows
    .map(summarise)
    .map(({ title, connections, perSecond, p50Milliseconds, p99Milliseconds, cpuMicroseconds }) => [
      title,
      String(connections),
      String(perSecond),
      p50Milliseconds.toFixed(2),
      p99Milliseconds.toFixed(2),
      String(cpuMicroseconds ?? ''),
    ])
  printTable([header, ...cells])
}

function printRatios(ratios) {
  const header = ['calls per second', 'connections', 'bound', 'ratio', '']
  const cells = ratios.map(({ title, connections, bound, ratio, isWithin }) => [
    title,
    String(connections),
    bound === undefined ? '' : `≥ ${bound} ×`,
    ratio.toFixed(2),
    bound === undefined ? '' : isWithin ? 'holds' : 'FAILS',
  ])
  printTable([header, ...cells])
}

function printTable(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  for (const row of rows) {
    const cells = row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])))
    console.log(cells.join('  ').trimEnd())
  }
}

function writeResults(rows, ratios, { proxy }) {
  const machine = `${availableParallelism()} cores`
  const report = {
    machine,
    platform: process.platform,
    node: process.version,
    // What else ran at the time: above the number of cores, the ratios tell more of that than of the gateway.
    load: loadavg()[0],
    proxy: proxy?.name,
    ...SIZE,
    cases: rows.map(summarise),
    ratios: ratios.map((row) => ({ ...row, ratio: round(row.ratio) })),
  }
  writeFileSync(new URL('./gateway-results.json', import.meta.url), `${JSON.stringify(report, null, 2)}\n`)
}

function readOptions(args) {
  const known = { isQuick: false, mayFail: false, only: '', soak: undefined, minutes: 30 }
  for (let index = 0; index < args.length; index += 1) {
    if (args[index] === '--quick') known.isQuick = true
    else if (args[index] === '--no-fail') known.mayFail = true
    else if (args[index] === '--only') known.only = args[++index] ?? ''
    else if (args[index] === '--soak' && Number(args[index + 1]) > 0) known.soak = Number(args[++index])
    else if (args[index] === '--minutes' && Number(args[index + 1]) > 0) known.minutes = Number(args[++index])
    else
      throw new Error(
        'usage: npm run bench:gateway -- [--quick] [--only TEXT] [--no-fail] | --soak CALLS [--minutes N]',
      )
  }
  return known
}

/** One line on a terminal that overwrites itself; nothing in a pipe. */
function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`)
}

function round(number) {
  return Math.round(number * 1000) / 1000
}
