/** The built program in a home of its own, with a vault and a configuration of the gateway. */

import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { onTestFinished } from 'vitest'
import { launcher } from '../support/built.js'
import { temporaryDirectory } from '../support/directory.js'

/** One home in which mcpvault is used. */
export class ProgramHome {
  readonly directory = temporaryDirectory()

  get env(): Record<string, string> {
    return { HOME: this.directory, PATH: process.env.PATH ?? '', TMPDIR: this.directory }
  }

  get vaultDirectory(): string {
    return join(this.directory, '.local/share/mcpvault')
  }

  /** Makes a vault with credentials and an approved configuration. */
  static create(credentials: Readonly<Record<string, string>>, mcpServers: object): ProgramHome {
    const home = new ProgramHome()
    home.run(['init', '--quiet'])
    for (const [name, value] of Object.entries(credentials)) home.run(['store', name, '--stdin'], { input: value })
    mkdirSync(home.vaultDirectory, { recursive: true })
    writeFileSync(join(home.vaultDirectory, 'mcpvault.json'), JSON.stringify({ mcpServers }), { mode: 0o600 })
    home.run(['config', 'allow', '--yes'])
    return home
  }

  /** Runs a command line to its end and gives what it prints. */
  run(
    argv: readonly string[],
    options: { readonly input?: string; readonly env?: Record<string, string> } = {},
  ): string {
    const env = { ...this.env, ...options.env }
    const { status, stdout, stderr } = spawnSync(process.execPath, [launcher(), ...argv], {
      ...options,
      env,
      encoding: 'utf8',
    })
    if (status !== 0) throw new Error(`mcpvault ${argv[0]} gave ${status}: ${stderr}`)
    return stdout
  }

  /** The SDK's client with the program as its server. */
  async connect(
    argv: readonly string[],
    options: {
      readonly mode?: 'legacy' | { pin: string }
      readonly env?: Record<string, string>
      readonly capabilities?: object
    } = {},
  ): Promise<Client> {
    const { mode = 'legacy', env, capabilities = {} } = options
    const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode }, capabilities })
    const args = [launcher(), ...argv]
    const transport = new StdioClientTransport({
      command: process.execPath,
      args,
      env: { ...this.env, ...env },
      stderr: 'pipe',
    })
    await client.connect(transport)
    onTestFinished(() => client.close())
    return client
  }

  audit(): readonly Readonly<Record<string, unknown>>[] {
    const lines = readFileSync(join(this.vaultDirectory, 'mcp_audit.jsonl'), 'utf8').split('\n')
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>)
  }
}
