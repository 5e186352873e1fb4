/**
 * What the gateway's benchmark runs: a load generator, upstreams, `mcpvault serve` in front of them, and `mcp-proxy` in
 * front of the same server; all of them as processes of their own on loopback.
 */
import { fork, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { KEY, LAUNCHER, makeEnvironment, runTool } from './vaults.js'

const MCP_PROXY = 'mcp-proxy@6.7.19'
const CACHE = fileURLToPath(new URL('../node_modules/.cache/mcpvault-bench', import.meta.url))
const UPSTREAM = fileURLToPath(new URL('./gateway-upstream.js', import.meta.url))
const PASS = fileURLToPath(new URL('./gateway-pass.js', import.meta.url))
const LOAD = fileURLToPath(new URL('./gateway-load.js', import.meta.url))
const START_MS = 60_000
/** CPU times in /proc are counted in hundredths of a second (proc(5); USER_HZ is 100 on every Linux that Node runs on). */
const TICK_MS = 10

/** Starts everything below a directory. `end` ends what was started here. */
export async function startWorld(root) {
  const processes = []
  const start = (argv, env = {}) => {
    const options = { cwd: root, env: { ...makeEnvironment(root), ...env }, stdio: ['ignore', 'pipe', 'pipe'] }
    const child = spawn(process.execPath, argv, options)
    processes.push(child)
    return child
  }
  const load = fork(LOAD, { stdio: 'inherit' })
  processes.push(load)
  const end = () => Promise.all(processes.map(endProcess))
  try {
    const sdk = await startUpstream(start, [UPSTREAM, 'sdk'])
    const bare = await startUpstream(start, [UPSTREAM, 'bare'])
    const gateway = await startGateway({ root, start, servers: { sdk: { url: sdk.url }, bare: { url: bare.url } } })
    const pass = await startUpstream(start, [PASS, sdk.url])
    const proxy = await startProxy(start, 'stdio')
    const bareProxy = await startProxy(start, 'bare-stdio')
    return { run: (job) => runLoad(load, job), sdk, bare, gateway, pass, proxy, bareProxy, end }
  } catch (error) {
    await end()
    throw error
  }
}

async function startUpstream(start, argv) {
  const child = start(argv)
  return { url: await firstLine(child, child.stdout, (line) => line), pid: child.pid, headers: {} }
}

/** Gives the gateway with its upstreams, each at its own address. */
async function startGateway({ root, start, servers }) {
  const vault = join(root, 'vault/mcp_credentials.enc')
  mkdirSync(join(root, 'vault'), { mode: 0o700 })
  const env = makeEnvironment(root)
  const tool = (...args) => runTool(['--vault', vault, ...args], env)
  tool('init')
  tool('store', 'bench_key', '--generate')
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is how a reference is written
  const reference = '${vault:bench_key}'
  for (const server of Object.values(servers)) server.headers = { Authorization: `Bearer ${reference}` }
  const stdio = { command: process.execPath, args: [UPSTREAM, 'stdio'], env: { BENCH_KEY: reference } }
  const config = JSON.stringify({ mcpServers: { ...servers, stdio } })
  writeFileSync(join(root, 'vault/mcpvault.json'), config, { mode: 0o600 })
  tool('config', 'allow', '--yes')
  const token = tool('token', 'create', '--tools', 'sdk/echo,bare/echo,stdio/echo', '--ttl', '1d')
  const argv = [...profiling(), LAUNCHER, '--vault', vault, 'serve', '--listen', '127.0.0.1:0']
  const child = start(argv, { MCP_ENCRYPTION_KEY: KEY })
  const port = await firstLine(child, child.stderr, (line) => JSON.parse(line).port)
  const at = (name) => ({
    url: `http://127.0.0.1:${port}/mcp/${name}`,
    pid: child.pid,
    headers: { authorization: `Bearer ${token}` },
  })
  const audit = join(root, 'vault/mcp_audit.jsonl')
  return { pid: child.pid, audit, sdk: at('sdk'), bare: at('bare'), stdio: at('stdio') }
}

/** `BENCH_CPU_PROF=DIRECTORY` writes a profile of the gateway there. */
function profiling() {
  const directory = process.env.BENCH_CPU_PROF
  return directory === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${directory}`]
}

/** Gives undefined where the package cannot be had: it brings a hundred others, so it is installed here and not with ours. */
async function startProxy(start, form) {
  const program = join(CACHE, 'node_modules/mcp-proxy/dist/bin/mcp-proxy.mjs')
  if (!existsSync(program)) {
    mkdirSync(CACHE, { recursive: true })
    writeFileSync(join(CACHE, 'package.json'), '{ "private": true }\n')
    const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-save', '--prefer-offline']
    spawnSync('npm', ['install', ...flags, MCP_PROXY], { cwd: CACHE, stdio: ['ignore', 'ignore', 'inherit'] })
  }
  if (!existsSync(program)) return undefined
  const port = await freePort()
  const child = start([program, '--host', '127.0.0.1', '--port', String(port), '--', process.execPath, UPSTREAM, form])
  await listening(child, port)
  return { name: MCP_PROXY, url: `http://127.0.0.1:${port}/mcp`, pid: child.pid, headers: {} }
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

/** It says on which port before it can be reached there. */
async function listening(child, port) {
  child.stdout.resume()
  child.stderr.resume()
  const deadline = Date.now() + START_MS
  while (child.exitCode === null && Date.now() < deadline) {
    const isThere = await fetch(`http://127.0.0.1:${port}/ping`).then(
      () => true,
      () => false,
    )
    if (isThere) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('cannot prepare a benchmark: mcp-proxy does not listen')
}

/** Reads lines until one gives something; what comes after is read and dropped, so that the program never waits for us. */
function firstLine(child, stream, read) {
  return new Promise((resolve, reject) => {
    const seen = []
    const other = stream === child.stdout ? child.stderr : child.stdout
    other.resume()
    child.once('exit', (status) => reject(new Error(`a process ended with ${status}: ${seen.join('\n')}`)))
    createInterface(stream).on('line', (line) => {
      if (seen.length < 20) seen.push(line)
      try {
        const found = read(line)
        if (found) resolve(found)
      } catch {
        // Not the line that is waited for.
      }
    })
  })
}

function runLoad(load, job) {
  return new Promise((resolve, reject) => {
    load.once('message', (result) => {
      if (result.error === undefined) resolve(result)
      else reject(new Error(`${job.url}: ${result.error}`))
    })
    load.send(job)
  })
}

async function endProcess(child) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 15_000)
  await ended
  clearTimeout(timer)
}

/** Gives the CPU time that a process has used, in milliseconds; undefined where there is no /proc. */
export function cpuMilliseconds(pid) {
  if (process.platform !== 'linux') return undefined
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
  return (Number(user) + Number(system)) * TICK_MS
}

/** Gives the memory that a process has resident, in MiB; undefined where there is no /proc. */
export function residentMebibytes(pid) {
  if (process.platform !== 'linux') return undefined
  const kibibytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
  return Number(kibibytes) / 1024
}

/** Gives how many files and sockets a process has open; undefined where there is no /proc. */
export function openFiles(pid) {
  return process.platform === 'linux' ? readdirSync(`/proc/${pid}/fd`).length : undefined
}
