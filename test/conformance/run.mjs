/**
 * Runs the official conformance suite against an MCP server of our own, alone and through `mcpvault serve`, and fails when
 * the two differ in any check of any scenario.
 *
 *   node test/conformance/run.mjs [--only SCENARIO]
 *
 * The suite comes from npm into a temporary folder: 0.2 alpha on Node 22 for both protocols, 0.1.13, the newest that runs
 * on Node 20, on the Node that runs this.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const launcher = join(root, 'bin/mcpvault.js')
const place = mkdtempSync(join(tmpdir(), 'mcpvault-conformance-'))
const only = process.argv[2] === '--only' ? process.argv[3] : undefined
const children = []

const SUITES = [
  {
    suite: '@modelcontextprotocol/conformance@0.2.0-alpha.12',
    node: 'node@22',
    asks: ['--requirements', '2025-11-25'],
  },
  {
    suite: '@modelcontextprotocol/conformance@0.2.0-alpha.12',
    node: 'node@22',
    asks: ['--requirements', '2026-07-28'],
  },
  { suite: '@modelcontextprotocol/conformance@0.1.13', node: undefined, asks: ['--suite', 'all'] },
]

try {
  const upstream = await startUpstream()
  const gateway = await startGateway(upstream)
  const front = await startFront(gateway)
  let hasFailed = false
  for (const suite of SUITES) {
    const alone = await run(suite, upstream, 'alone')
    const through = await run(suite, front, 'through')
    hasFailed = report(suite, alone, through) || hasFailed
  }
  process.exitCode = hasFailed ? 1 : 0
} finally {
  for (const child of children) child.kill('SIGKILL')
  rmSync(place, { recursive: true, force: true })
}
process.exit()

async function startUpstream() {
  const child = spawn(process.execPath, [join(root, 'test/conformance/upstream.mjs')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  const [line] = await once(child.stdout, 'data')
  return new URL(line.toString().trim())
}

/** Starts `serve` in front of the upstream and gives its address and a token for all of it. */
async function startGateway(upstream) {
  const env = {
    PATH: process.env.PATH,
    HOME: place,
    XDG_CONFIG_HOME: place,
    XDG_DATA_HOME: place,
    XDG_STATE_HOME: place,
  }
  const mcpvault = (argv, input = '') => {
    const argvAll = ['--', launcher, '--vault', join(place, 'mcp_credentials.enc'), ...argv]
    const { status, stdout, stderr } = spawnSync(process.execPath, argvAll, { env, input, encoding: 'utf8' })
    if (status !== 0) throw new Error(`mcpvault ${argv.join(' ')} gave ${status}: ${stderr}`)
    return stdout.trim()
  }
  mcpvault(['init'])
  mcpvault(['store', 'upstream_key', '--stdin'], 'a-key-that-nobody-asks-for\n')
  const config = {
    mcpServers: { upstream: { url: upstream.href, headers: { 'x-upstream-key': `\${vault:upstream_key}` } } },
  }
  writeFileSync(join(place, 'mcpvault.json'), JSON.stringify(config), { mode: 0o600 })
  mcpvault(['config', 'allow', '--yes'])
  const token = mcpvault([
    'token',
    'create',
    '--tools',
    '*',
    '--methods',
    'tools,resources,prompts,completion',
    '--quiet',
  ])
  const vault = ['--vault', join(place, 'mcp_credentials.enc')]
  const child = spawn(process.execPath, ['--', launcher, ...vault, 'serve', '--listen', '127.0.0.1:0'], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  children.push(child)
  return { address: new URL('/mcp/upstream', await firstAddress(child.stderr)), token }
}

async function firstAddress(stream) {
  let text = ''
  for await (const chunk of stream) {
    text += chunk
    const port = /"port":(\d+)/.exec(text)?.[1]
    if (port !== undefined) {
      stream.resume()
      return `http://127.0.0.1:${port}`
    }
  }
  throw new Error(`serve has ended: ${text}`)
}

/**
 * The suite knows no tokens, so this adds one to each request and passes everything else on as it is; where a header names
 * the front itself, the gateway is told its own name.
 */
async function startFront({ address, token }) {
  const server = createServer((incoming, outgoing) => {
    const own = `:${server.address().port}`
    const headers = { ...incoming.headers, authorization: `Bearer ${token}` }
    for (const name of ['host', 'origin']) {
      if (headers[name]?.endsWith(own)) headers[name] = `${headers[name].slice(0, -own.length)}:${address.port}`
    }
    const { method } = incoming
    const onward = httpRequest(address, { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers)
      answer.pipe(outgoing)
      answer.on('error', () => outgoing.destroy())
    })
    onward.on('error', () => outgoing.destroy())
    outgoing.on('close', () => onward.destroy())
    incoming.pipe(onward)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  server.unref()
  return new URL(`http://127.0.0.1:${server.address().port}/mcp`)
}

/** Runs a suite, each scenario for 30 s at most, and gives each check's status by scenario and id. */
function run({ suite, node, asks }, url, name) {
  const home = join(place, suite.replace(/\W/g, '_'))
  install(home, node === undefined ? [suite] : [suite, node])
  const output = join(home, `${asks.at(-1)}-${name}`)
  const what = only === undefined ? asks : ['--scenario', only]
  const program = node === undefined ? process.execPath : join(home, 'node_modules/.bin/node')
  const argv = [join(home, 'node_modules/.bin/conformance'), 'server', '--url', url.href, ...what, '-o', output]
  return new Promise((resolve) => {
    // Asynchronous: the front lives in this process.
    const child = spawn(program, argv, { stdio: 'ignore', cwd: home })
    child.on('close', () => resolve(readChecks(output)))
  })
}

function install(home, packages) {
  const { status, stderr } = spawnSync(
    'npm',
    ['install', '--prefix', home, '--silent', '--no-audit', '--no-fund', ...packages],
    {
      encoding: 'utf8',
    },
  )
  if (status !== 0) throw new Error(`cannot install ${packages.join(' ')}: ${stderr}`)
}

function readChecks(output) {
  const checks = new Map()
  for (const folder of readdirSync(output)) {
    const scenario = folder.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT.*$/, '')
    for (const { id, status } of JSON.parse(readFileSync(join(output, folder, 'checks.json'), 'utf8'))) {
      const key = `${scenario}: ${id}`
      checks.set(key, [...(checks.get(key) ?? []), status])
    }
  }
  return checks
}

function report({ suite, asks }, alone, through) {
  const keys = [...new Set([...alone.keys(), ...through.keys()])].sort()
  const different = keys.filter((key) => String(alone.get(key)) !== String(through.get(key)))
  const passed = keys.filter((key) => alone.get(key)?.every((status) => status === 'SUCCESS')).length
  const say = (line) => process.stdout.write(`${line}\n`)
  say(
    `${suite} ${asks.join(' ')}: ${keys.length} checks, ${passed} pass alone, ${different.length} differ through the gateway`,
  )
  for (const key of different) say(`  ${key}: ${alone.get(key) ?? 'none'} alone, ${through.get(key) ?? 'none'} through`)
  // A run that checked nothing proves nothing.
  return different.length > 0 || keys.length < (only === undefined ? 40 : 1)
}
