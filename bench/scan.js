/**
 * How long `mcpvault scan` takes over a gibibyte of text, beside `grep -F` for one value and secretlint, which looks for the
 * shapes of keys. Usage: npm run bench:scan [MEBIBYTES]; secretlint is installed into the temporary folder.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { peakMemory, timeCommands } from './measure.js'

const launcher = fileURLToPath(new URL('../bin/mcpvault.js', import.meta.url))
const mebibytes = Number(process.argv[2] ?? 1024)
const place = mkdtempSync(join(tmpdir(), 'mcpvault-bench-scan-'))
const VALUE = 'sk_live_Zm9vYmFyYmF6cXV4'

try {
  const env = { PATH: process.env.PATH, HOME: place, XDG_CONFIG_HOME: place, XDG_STATE_HOME: place }
  const surroundings = { cwd: place, env }
  const mcpvault = (argv, input) => {
    const { status, stderr } = spawnSync(process.execPath, ['--', launcher, ...argv], { cwd: place, env, input })
    if (status !== 0) throw new Error(`mcpvault ${argv.join(' ')} gave ${status}: ${stderr}`)
  }
  mcpvault(['init', '--vault', join(place, 'mcp_credentials.enc')])
  mcpvault(['store', 'key', '--stdin'], VALUE)
  writeText(join(place, 'text'))
  const scan = { argv: [process.execPath, '--', launcher, 'scan', 'text', '--dry-run'], status: 4 }
  const others = [{ name: 'grep -rF', argv: ['grep', '-rF', VALUE, 'text'], status: 0 }, ...findSecretlint()]
  print('mcpvault scan', timeCommands([scan], surroundings), mebibytes)
  const [node, ...rest] = scan.argv
  const peak = peakMemory({ argv: [node, ...rest.slice(1)], status: 4 }, surroundings)
  process.stdout.write(`  peak memory ${peak.toFixed(0)} MiB (bound: 120)\n`)
  for (const { name, ...command } of others) print(name, timeCommands([command], surroundings), mebibytes)
} finally {
  rmSync(place, { recursive: true, force: true })
}

/** Files of a mebibyte each, of words, digits and punctuation; the last one holds the value once. */
function writeText(folder) {
  mkdirSync(folder)
  let state = 42
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0)
  const line = () => `${Array.from({ length: 8 }, () => next().toString(36)).join(' ')} = "${next().toString(16)}";\n`
  const block = Array.from({ length: 4096 }, line).join('')
  const text = block.repeat(Math.ceil((1024 * 1024) / block.length)).slice(0, 1024 * 1024)
  for (let file = 0; file < mebibytes; file += 1) {
    const at = (next() % 1000) * 1000
    writeFileSync(
      join(folder, `${file}.txt`),
      text.slice(at) + text.slice(0, at) + (file === mebibytes - 1 ? VALUE : ''),
    )
  }
}

function findSecretlint() {
  const home = join(place, 'secretlint')
  mkdirSync(home)
  const names = ['secretlint', '@secretlint/secretlint-rule-preset-recommend']
  const { status } = spawnSync('npm', ['install', '--prefix', home, '--silent', '--no-audit', '--no-fund', ...names])
  if (status !== 0) return []
  const rules = { rules: [{ id: '@secretlint/secretlint-rule-preset-recommend' }] }
  writeFileSync(join(home, '.secretlintrc.json'), JSON.stringify(rules))
  const program = join(home, 'node_modules/.bin/secretlint')
  const config = ['--secretlintrc', join(home, '.secretlintrc.json')]
  return [{ name: 'secretlint', argv: [program, ...config, 'text/**/*'], status: 0 }]
}

function print(name, { wall, cpu }, size) {
  const speed = (size / (wall / 1000)).toFixed(0)
  process.stdout.write(`${name}: ${(wall / 1000).toFixed(2)} s, ${(cpu / 1000).toFixed(2)} s of CPU, ${speed} MiB/s\n`)
}
