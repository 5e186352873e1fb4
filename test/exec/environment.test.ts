import { describe, expect, it } from 'vitest'
import {
  checkVariables,
  childEnvironment,
  isLoaderVariable,
  isShellVariable,
  parseAssignment,
} from '../../src/exec/environment.js'

describe('the environment of a program', () => {
  it('is the parent’s less what is mcpvault’s own', () => {
    const parent = {
      PATH: '/bin',
      MCP_ENCRYPTION_KEY: 'a',
      MCP_ENCRYPTION_KEY_FILE: 'b',
      MCP_ENCRYPTION_KEY_COMMAND: 'c',
      MCP_ENCRYPTION_KEYS_OLD: 'd',
      MCPVAULT_TOKEN: 'e',
      MCPVAULT_: 'f',
      MCPVAULTED: 'stays',
      MCP_SERVER: 'stays',
      EMPTY: '',
      GONE: undefined,
    }
    expect(childEnvironment(parent)).toEqual({ PATH: '/bin', MCPVAULTED: 'stays', MCP_SERVER: 'stays', EMPTY: '' })
  })

  it('takes a credential whose name holds anything, and a variable that shells can name', () => {
    expect(parseAssignment('A_1=eu:key@1/x=y', '-e')).toEqual({ variable: 'A_1', name: 'eu:key@1/x=y' })
    for (const text of ['', '=', 'A', 'A=', '=key', '1A=key', 'A B=key', 'A-B=key', 'é=key', 'A\n=key']) {
      expect(() => parseAssignment(text, '-e'), text).toThrow(/expected a variable/)
    }
  })

  it('knows what makes a value decide what runs', () => {
    for (const name of ['PATH', 'LD_PRELOAD', 'LD_AUDIT', 'DYLD_INSERT_LIBRARIES', 'NODE_OPTIONS', 'BASH_ENV', 'ENV'])
      expect(isLoaderVariable(name), name).toBe(true)
    for (const name of [
      'PYTHONPATH',
      'PERL5OPT',
      'RUBYOPT',
      'JAVA_TOOL_OPTIONS',
      'GIT_SSH_COMMAND',
      'GIT_CONFIG_COUNT',
    ])
      expect(isLoaderVariable(name), name).toBe(true)
    for (const name of ['GITHUB_TOKEN', 'GIT_TOKEN', 'NPM_TOKEN', 'CARGO_REGISTRY_TOKEN', 'API_PATH', 'SSL_CERT_FILE'])
      expect(isLoaderVariable(name), name).toBe(false)
    expect(() => checkVariables(['A', 'PATH'], { allowDangerous: false })).toThrow(/"PATH"/)
    expect(() => checkVariables(['A', 'A'], { allowDangerous: true })).toThrow(/twice/)
    checkVariables(['A', 'PATH'], { allowDangerous: true })
  })

  it('knows what a shell keeps for itself', () => {
    for (const name of ['IFS', 'PATH', 'LD_PRELOAD', 'PS1', 'RANDOM', 'UID', 'OPTIND', 'BASH_ARGV0', 'COMP_WORDBREAKS'])
      expect(isShellVariable(name), name).toBe(true)
    for (const name of ['GITHUB_TOKEN', 'UID_KEY', 'MAIL_PASSWORD', 'PATH_TOKEN', 'PASSWORD', 'API_KEY'])
      expect(isShellVariable(name), name).toBe(false)
  })
})
