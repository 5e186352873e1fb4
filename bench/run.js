/**
 * Measures mcpvault as whole processes, side by side with the bare runtime that runs an empty file, and holds the ratios
 * to their bounds: `npm run bench -- [--quick] [--only TEXT] [--no-fail]`.
 *
 * An absolute time proves nothing, so every case is timed in turns with its base, and the median of the turns' ratios
 * counts, for CPU and wall clock alike. `--quick` takes few turns and a shorter log; only a whole run that measured
 * everything writes bench/results.json. What writes waits for the disk: `TMPDIR=/dev/shm npm run bench` takes the disk out
 * of the wall clock.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeCases } from './cases.js'
import { measureTokens } from './tokens.js'
import { median, peakMemory, timeCommands } from './measure.js'

const options = readOptions(process.argv.slice(2))
const SIZE = options.isQuick ? { turns: 3, runs: 2, records: 100_000 } : { turns: 15, runs: 4, records: 1_000_000 }

const root = mkdtempSync(join(tmpdir(), 'mcpvault-bench-'))
try {
  process.exitCode = (await bench()) || options.mayFail ? 0 : 1
} finally {
  rmSync(root, { recursive: true, force: true })
}

async function bench() {
  progress('making vaults and logs')
  const { world, ratios, memories, missing, end } = makeCases(root, SIZE)
  const isAsked = ({ title }) => title.includes(options.only)
  const results = [
    ...measureRatios(ratios.filter(isAsked), world),
    ...memories.filter(isAsked).map((item) => measureMemory(item, world)),
  ]
  end()
  if ('in process'.includes(options.only)) results.push(...(await measureInProcess()))
  progress('')
  printTable(results)
  for (const peer of missing) console.log(`not installed, so not compared: ${peer}`)
  if (!options.isQuick && options.only === '') writeResults(results)
  return results.every(({ isWithin }) => isWithin)
}

/** Turns go round all cases, so that a slow minute of the machine falls on all of them. */
function measureRatios(cases, world) {
  const turns = cases.map(() => [])
  let serial = 0
  for (let turn = -1; turn < SIZE.turns; turn += 1) {
    for (const [index, { title, base, make }] of cases.entries()) {
      progress(`turn ${turn + 1} of ${SIZE.turns}: ${title}`)
      const time = (command) => {
        const commands = Array.from({ length: SIZE.runs }, (_, index) => command(serial++, index))
        return timeCommands(commands, { cwd: world.cwd, env: { ...world.env, ...commands[0].env } })
      }
      const pair = turn % 2 === 0 ? { base: time(base), made: time(make) } : { made: time(make), base: time(base) }
      // The first turn warms up.
      if (turn >= 0) turns[index].push(pair)
    }
  }
  return cases.map(({ title, bound }, index) => summarise({ title, bound }, turns[index]))
}

function summarise({ title, bound }, turns) {
  const ratio = (clock) => round(median(turns.map(({ base, made }) => made[clock] / base[clock])))
  const milliseconds = (side) => round(median(turns.map((turn) => turn[side].cpu)))
  const cpu = ratio('cpu')
  const wall = ratio('wall')
  const ms = { base: milliseconds('base'), command: milliseconds('made') }
  return {
    title,
    bound,
    cpu,
    wall,
    cpuMilliseconds: ms,
    isWithin: bound === undefined || (cpu <= bound && wall <= bound),
  }
}

function measureMemory({ title, bound, command }, { cwd, env }) {
  progress(`memory: ${title}`)
  const peakMebibytes = round(peakMemory(command, { cwd, env: { ...env, ...command.env } }))
  return { title, bound, peakMebibytes, isWithin: peakMebibytes <= bound }
}

async function measureInProcess() {
  progress('tokens in process')
  return (await measureTokens()).map(({ title, microseconds, ...row }) => ({
    ...row,
    title: `in process: ${title}`,
    microseconds: round(microseconds),
    hmacs: round(row.hmacs),
  }))
}

function printTable(results) {
  const header = ['', 'bound', 'CPU', 'wall', 'ms CPU (base)', '']
  const rows = results.map((result) => [...describeResult(result), verdict(result)])
  const widths = header.map((_, column) => Math.max(...[header, ...rows].map((row) => row[column].length)))
  for (const row of [header, ...rows]) {
    const cells = row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])))
    console.log(cells.join('  ').trimEnd())
  }
}

function describeResult({ title, bound, cpu, wall, cpuMilliseconds, peakMebibytes, microseconds, hmacs }) {
  const limit = (unit) => (bound === undefined ? '' : `${bound} ${unit}`)
  if (peakMebibytes !== undefined) return [`memory: ${title}`, limit('MiB'), '', '', `${peakMebibytes.toFixed(0)} MiB`]
  if (microseconds !== undefined)
    return [title, limit('µs'), `${microseconds.toFixed(1)} µs`, '', `${hmacs.toFixed(1)} HMACs`]
  return [title, limit('×'), cpu.toFixed(2), wall.toFixed(2), describeTimes(cpuMilliseconds)]
}

function describeTimes({ base, command }) {
  return `${command.toFixed(1)} (${base.toFixed(1)})`
}

function verdict({ bound, isWithin }) {
  if (bound === undefined) return ''
  return isWithin ? 'holds' : 'FAILS'
}

function writeResults(results) {
  const machine = `${availableParallelism()} cores`
  const report = { machine, platform: process.platform, node: process.version, files: tmpdir(), ...SIZE, results }
  writeFileSync(new URL('./results.json', import.meta.url), `${JSON.stringify(report, null, 2)}\n`)
}

function readOptions(args) {
  const known = { isQuick: false, mayFail: false, only: '' }
  for (let index = 0; index < args.length; index += 1) {
    if (args[index] === '--quick') known.isQuick = true
    else if (args[index] === '--no-fail') known.mayFail = true
    else if (args[index] === '--only') known.only = args[++index] ?? ''
    else throw new Error('usage: npm run bench -- [--quick] [--only TEXT] [--no-fail]')
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
