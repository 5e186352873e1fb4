import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startStandIn } from '../../src/search/stand-in.js'
import { launcher } from '../support/built.js'
import { temporaryDirectory } from '../support/directory.js'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
const blocks = [...readme.matchAll(/^```sh\n(.*?)^```$/gms)].map((match) => match[1] ?? '')

/** What a test cannot type: a prompt is answered by the flag for scripts, a placeholder by something real. */
const STAND_FOR: readonly (readonly [RegExp, string])[] = [
  [/^(mcpvault (?:store|rotate) scavio_api_key) .*$/gm, 'new-scavio-key | $1 --stdin'],
  [/^0 6 \* \* \* +\/usr\/local\/bin\/(.*) --vault \S+$/gm, '$1'],
  [/^export MCP_ENCRYPTION_KEY=….*$/gm, ''],
  [/^mcpvault adopt(| --undo) +#.*$/gm, 'mcpvault adopt$1 --yes'],
  // Serving ends with a signal.
  [
    /^(mcpvault serve) (--config \S+) .*$/gm,
    '$1 $2 --listen 127.0.0.1:0 2> serve.log & until grep -q serving serve.log; do sleep 0.1; done; kill $!; wait $!',
  ],
]

const PROGRAMS = {
  mcpvault: `exec "${process.execPath}" "${launcher()}" "$@"`,
  'new-scavio-key': 'echo "sk_$(od -An -N8 -tx1 /dev/urandom | tr -d \' \')"',
}

/** A home directory whose PATH has mcpvault, and what runs in it. */
function createHome(
  env: Readonly<Record<string, string>>,
): (script: string) => Promise<{ status: unknown; output: string }> {
  const home = temporaryDirectory()
  const bin = join(home, 'bin')
  mkdirSync(bin)
  for (const [name, line] of Object.entries(PROGRAMS)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${line}\n`)
    chmodSync(join(bin, name), 0o755)
  }
  return async (script) => {
    const child = spawn('bash', ['-euo', 'pipefail', '-c', script], {
      cwd: home,
      env: { ...env, HOME: home, PATH: `${bin}:${process.env.PATH}` },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text))
    const [status] = await once(child, 'close')
    return { status, output }
  }
}

function scriptOf(block: string): string {
  // A question may say no without being a failure.
  const lines = STAND_FOR.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), block)
  return lines.replace(/^(mcpvault rotation-due) .*$/gm, '$1 || test $? = 1')
}

function blockWith(text: string): string {
  const found = blocks.find((block) => block.includes(text))
  if (found === undefined) throw new Error(`the README has no commands with: ${text}`)
  return scriptOf(found)
}

describe('the README', () => {
  it('has working commands before line 20', () => {
    const line = readme.split('\n').findIndex((text) => text.startsWith('mcpvault init'))
    expect(line).toBeGreaterThan(0)
    expect(line).toBeLessThan(20)
  })

  it('names the two commands that set up a clone', () => {
    expect(readme).toMatch(/^npm ci && npm run demo$/m)
    expect(readme).toMatch(/^npm ci && npm test$/m)
  })

  it('runs as it is written, block after block', { timeout: 120_000 }, async () => {
    const standIn = await startStandIn({ accepts: (key) => key.startsWith('sk_') })
    try {
      const run = createHome({ SCAVIO_BASE_URL: standIn.baseUrl })
      const session = [
        blockWith('mcpvault init'),
        'new-scavio-key > new-key.txt',
        blockWith('mcpvault rotate scavio_api_key --stdin < new-key.txt'),
        blockWith('--within 7d'),
        blockWith('--version previous'),
        blockWith('policy set'),
        blockWith('token narrow'),
        blockWith('mcpvault exec'),
        blockWith('mcpvault serve'),
        'echo GITHUB_TOKEN=ghp_x > .env',
        blockWith('mcpvault import .env'),
        `mkdir .cursor; echo '{"mcpServers":{"x":{"command":"y","env":{"X_TOKEN":"hunter2"}}}}' > .cursor/mcp.json`,
        blockWith('mcpvault adopt'),
        'grep hunter2 .cursor/mcp.json',
      ].join('\n')
      const { status, output } = await run(session)
      expect(output).toContain('Results: 5')
      expect(output).toContain('rotated "scavio_api_key" to version 3')
      expect(output).toContain('rolled "scavio_api_key" back')
      expect(output).toContain('adopted 1 secret as 1 credential')
      expect(status, output).toBe(0)
    } finally {
      await standIn.close()
    }
  })

  it('looks for values in files and in git as it is written', async () => {
    const block = blockWith('mcpvault scan')
    const { status, output } = await createHome({})(
      ['mcpvault init', 'mkdir projects', 'git init -q .', block].join('\n'),
    )
    expect(status, output).toBe(0)
    expect(output).toContain('wrote the hook')
  })

  it('leaves no block untried', () => {
    const tried = [
      'mcpvault serve',
      'policy set',
      'mcpvault init',
      'mcpvault import',
      'mcpvault adopt',
      'new-key.txt',
      '--within 7d',
      '--version previous',
      'token narrow',
      'mcpvault exec',
      'mcpvault scan',
      'npm ci',
    ]
    for (const block of blocks)
      expect(
        tried.some((text) => block.includes(text)),
        block,
      ).toBe(true)
  })
})
