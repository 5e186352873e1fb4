/**
 * Makes many calls through the gateway and watches its memory: what it holds when nothing has been asked yet, and whether
 * it grows with the calls. Bounded in calls and in time; writes bench/soak-results.json with the memory over time and the
 * slope that was fitted to its last half.
 */
import { statSync, writeFileSync } from 'node:fs'
import { openFiles, residentMebibytes } from './gateway-world.js'

const CONNECTIONS = 32
const RESULTS = new URL('./soak-results.json', import.meta.url)
/** How often memory is looked at. */
const SAMPLES = 50
const IDLE_MEBIBYTES = 90
/** The heap needs a while to reach its size; growth is measured over the last half. */
const SETTLED = 0.5
/** Less than this over a million calls is no slope: a heap's size moves by as much from one sample to the next. */
const FLAT_MEBIBYTES = 20

/** Gives whether memory is within its bounds; prints what it found. */
export async function soak(world, { calls, minutes, progress }) {
  const { gateway } = world
  const idle = residentMebibytes(gateway.pid)
  if (idle === undefined) throw new Error('a soak reads memory from /proc, which this system does not have')
  const { pid, ...target } = gateway.bare
  const deadline = Date.now() + minutes * 60_000
  const samples = []
  let made = 0
  const start = Date.now()
  while (made < calls && Date.now() < deadline) {
    const job = { ...target, connections: CONNECTIONS, calls: Math.min(Math.ceil(calls / SAMPLES), calls - made) }
    made += (await world.run(job)).calls
    samples.push({ calls: made, mebibytes: residentMebibytes(pid), files: openFiles(pid) })
    progress(`${made} of ${calls} calls: ${samples.at(-1).mebibytes.toFixed(0)} MiB`)
  }
  progress('')
  return report({ samples, idle, made, seconds: (Date.now() - start) / 1000, audit: gateway.audit })
}

function report({ samples, idle, made, seconds, audit }) {
  const settled = samples.filter(({ calls }) => calls >= made * SETTLED)
  const slope = slopeOf(settled.map(({ calls, mebibytes }) => [calls / 1_000_000, mebibytes]))
  const [first, last] = [settled[0], settled.at(-1)]
  const most = Math.max(...samples.map(({ mebibytes }) => mebibytes))
  const isIdleWithin = idle <= IDLE_MEBIBYTES
  // A short soak says little about a million calls: there, what it really grew by counts too.
  const isFlat = slope <= FLAT_MEBIBYTES || last.mebibytes - first.mebibytes <= FLAT_MEBIBYTES / 4
  console.log(`${made} calls over ${CONNECTIONS} connections in ${seconds.toFixed(0)} s, none failed`)
  console.log(`idle: ${idle.toFixed(1)} MiB (≤ ${IDLE_MEBIBYTES} MiB) ${isIdleWithin ? 'holds' : 'FAILS'}`)
  const every = samples.filter((_, index) => index % Math.ceil(samples.length / 10) === 0)
  for (const { calls, mebibytes, files } of every) {
    console.log(`after ${String(calls).padStart(9)} calls: ${mebibytes.toFixed(1)} MiB, ${files} open files`)
  }
  const change = `${first.mebibytes.toFixed(1)} to ${last.mebibytes.toFixed(1)} MiB, at most ${most.toFixed(1)}`
  console.log(`from ${first.calls} calls on: ${change}; slope ${slope.toFixed(1)} MiB per million calls`)
  console.log(`no slope (≤ ${FLAT_MEBIBYTES} MiB per million): ${isFlat ? 'holds' : 'FAILS'}`)
  console.log(`audit log: ${(statSync(audit).size / made).toFixed(0)} bytes a call`)
  const settings = { platform: process.platform, node: process.version, calls: made, connections: CONNECTIONS, seconds }
  const bounds = { idleMebibytes: IDLE_MEBIBYTES, slope: FLAT_MEBIBYTES, isWithin: isIdleWithin && isFlat }
  const found = { idle, slope, from: first, to: last, mostMebibytes: most, samples }
  writeFileSync(RESULTS, `${JSON.stringify({ ...settings, bounds, ...found }, roundMember, 2)}\n`)
  return isIdleWithin && isFlat
}

function roundMember(_name, value) {
  return typeof value === 'number' ? Math.round(value * 10) / 10 : value
}

/** Least squares. */
function slopeOf(points) {
  const mean = (at) => points.reduce((sum, point) => sum + point[at], 0) / points.length
  const [x, y] = [mean(0), mean(1)]
  const above = points.reduce((sum, point) => sum + (point[0] - x) * (point[1] - y), 0)
  const below = points.reduce((sum, point) => sum + (point[0] - x) ** 2, 0)
  return below === 0 ? 0 : above / below
}
