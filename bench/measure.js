/**
 * Times whole processes from outside, with what every machine has: bash's `time`, whose TIMEFORMAT gives the wall clock
 * and the user and system CPU time of what it ran. It counts whole milliseconds, so several runs are timed together.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const PEAK_HOOK = fileURLToPath(new URL('./peak-memory.cjs', import.meta.url))

/**
 * Runs commands one after the other and gives the milliseconds that one of them took on average.
 *
 * @param {{ argv: string[], status: number }[]} commands
 * @param {{ cwd: string, env: Record<string, string> }} surroundings
 * @throws {Error} if a command ends with another status than it should: a failure is often fast.
 */
export function timeCommands(commands, { cwd, env }) {
  const runs = commands.map(({ argv, status }) => `${argv.map(quote).join(' ')}; [ $? -eq ${status} ] || exit 99`)
  const script = `TIMEFORMAT='%R %U %S'; time { ${runs.join('; ')}; }`
  const options = { cwd, env: { ...env, LC_ALL: 'C' }, stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 }
  const result = spawnSync('bash', ['-c', script], options)
  const report = String(result.stderr).trimEnd().split('\n')
  if (result.status !== 0) throw new Error(`a benchmark failed: ${commands[0].argv.join(' ')}\n${report.join('\n')}`)
  const [real, user, system] = report.at(-1).split(' ').map(Number)
  const milliseconds = (seconds) => (seconds * 1000) / commands.length
  return { wall: milliseconds(real), cpu: milliseconds(user + system) }
}

/** Runs a Node program once and gives the most memory that it had, in MiB. */
export function peakMemory({ argv, status }, { cwd, env }) {
  const file = join(cwd, 'peak-memory')
  const [node, ...rest] = argv
  const options = { cwd, env: { ...env, BENCH_PEAK_FILE: file }, stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 }
  const result = spawnSync(node, ['--require', PEAK_HOOK, ...rest], options)
  if (result.status !== status) throw new Error(`a benchmark failed: ${argv.join(' ')}\n${result.stderr}`)
  const kibibytes = Number(readFileSync(file, 'utf8'))
  rmSync(file)
  return kibibytes / 1024
}

/** Gives the middle of some numbers. */
export function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

function quote(word) {
  return `'${word.replaceAll("'", "'\\''")}'`
}
