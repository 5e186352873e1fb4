/** What a program that is run with credentials finds in its environment. */

import { VaultError } from '../errors.js'
import type { Secret } from '../secret.js'

/** Names that make a loader, a shell or an interpreter run or read what the value says. */
const LOADERS = new Set([
  ...['PATH', 'IFS', 'ENV', 'BASH_ENV', 'BASHOPTS', 'SHELLOPTS', 'PS4', 'PROMPT_COMMAND', 'CDPATH', 'ZDOTDIR', 'FPATH'],
  ...['SHELL', 'EDITOR', 'VISUAL', 'PAGER', 'BROWSER', 'LESSOPEN', 'LESSCLOSE', 'MANPAGER', 'HOME', 'TMPDIR'],
  ...['GCONV_PATH', 'LOCPATH', 'NLSPATH', 'HOSTALIASES', 'RESOLV_HOST_CONF', 'GLIBC_TUNABLES', 'MALLOC_TRACE'],
  ...['NODE_OPTIONS', 'NODE_PATH', 'NODE_REPL_EXTERNAL_MODULE', 'BUN_OPTIONS', 'DENO_DIR'],
  ...['PYTHONPATH', 'PYTHONHOME', 'PYTHONSTARTUP', 'PYTHONINSPECT', 'PYTHONBREAKPOINT', 'PYTHONUSERBASE'],
  ...['PERL5LIB', 'PERLLIB', 'PERL5OPT', 'PERL5DB', 'RUBYLIB', 'RUBYOPT', 'GEM_PATH', 'GEM_HOME', 'R_PROFILE'],
  ...['JAVA_TOOL_OPTIONS', '_JAVA_OPTIONS', 'JDK_JAVA_OPTIONS', 'CLASSPATH', 'LUA_INIT', 'LUA_PATH', 'LUA_CPATH'],
  ...['PHPRC', 'PHP_INI_SCAN_DIR', 'DOTNET_STARTUP_HOOKS', 'OPENSSL_CONF', 'OPENSSL_MODULES', 'OPENSSL_ENGINES'],
  ...['GIT_SSH', 'GIT_SSH_COMMAND', 'GIT_ASKPASS', 'GIT_EXEC_PATH', 'GIT_EXTERNAL_DIFF', 'GIT_PAGER', 'GIT_EDITOR'],
  ...['GIT_SEQUENCE_EDITOR', 'GIT_PROXY_COMMAND', 'GIT_TEMPLATE_DIR', 'SSH_ASKPASS', 'SUDO_ASKPASS', 'GOFLAGS'],
  ...['RUSTC', 'RUSTC_WRAPPER', 'MAVEN_OPTS', 'NPM_CONFIG_SCRIPT_SHELL', 'NPM_CONFIG_NODE_OPTIONS', 'MAKEFLAGS'],
])
const LOADER_PREFIXES = ['LD_', 'DYLD_', 'BASH_FUNC_', 'GIT_CONFIG', 'COR_PROFILER', 'CORECLR_PROFILER']

/**
 * Names that a shell keeps for itself. It computes with what is assigned to some of them, and computing runs what stands
 * between brackets; others are read-only, so that a script ends there, or change how the rest of the script is read.
 */
const SHELL_OWN = new Set([
  ...['_', 'UID', 'EUID', 'GID', 'EGID', 'PPID', 'PWD', 'OLDPWD', 'RANDOM', 'SRANDOM', 'SECONDS', 'LINENO', 'SHLVL'],
  ...[
    'OPTARG',
    'OPTIND',
    'OPTERR',
    'REPLY',
    'TMOUT',
    'MAIL',
    'MAILPATH',
    'MAILCHECK',
    'HISTFILE',
    'HISTCMD',
    'HISTSIZE',
  ],
  ...['HISTFILESIZE', 'SAVEHIST', 'COLUMNS', 'LINES', 'KEYTIMEOUT', 'LISTMAX', 'LOGCHECK', 'FUNCNEST', 'FUNCNAME'],
  ...[
    'GROUPS',
    'DIRSTACK',
    'PIPESTATUS',
    'EPOCHSECONDS',
    'EPOCHREALTIME',
    'GLOBIGNORE',
    'EXECIGNORE',
    'POSIXLY_CORRECT',
  ],
  ...['PS0', 'PS1', 'PS2', 'PS3', 'PROMPT', 'PROMPT2', 'PROMPT3', 'PROMPT4', 'RPROMPT', 'RPS1', 'RPS2', 'SPROMPT'],
  ...['FCEDIT', 'INPUTRC', 'NULLCMD', 'READNULLCMD', 'STTY', 'TERMINFO', 'USERNAME', 'MODULE_PATH', 'ARGC', 'ARGV'],
])
const SHELL_PREFIXES = ['BASH', 'ZSH_', 'COMP_', 'KSH_']

/** What mcpvault's own variables begin with: keys, tokens and places are not a child's business. */
const OWN_PREFIXES = ['MCP_ENCRYPTION_KEY', 'MCPVAULT_']

/** Where in a child's environment a credential goes. */
export interface Assignment {
  /** The variable. */
  readonly variable: string
  /** The credential. */
  readonly name: string
}

/**
 * Reads `ENV=NAME`.
 *
 * @throws {VaultError} USAGE, without repeating the text: it may be a value that was typed in the wrong place
 */
export function parseAssignment(text: string, flag: string): Assignment {
  const at = text.indexOf('=')
  const [variable, name] = [text.slice(0, Math.max(at, 0)), text.slice(at + 1)]
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(variable) || name === '') {
    throw new VaultError('USAGE', `cannot read ${flag}: expected a variable, "=" and the name of a credential`, {
      hints: [`for example: ${flag} SCAVIO_API_KEY=scavio_api_key`],
    })
  }
  return { variable, name }
}

/**
 * Refuses variables that are asked for twice, and those that would let a value decide what runs.
 *
 * @throws {VaultError} USAGE
 */
export function checkVariables(variables: readonly string[], { allowDangerous }: { allowDangerous: boolean }): void {
  const twice = variables.find((variable, index) => variables.indexOf(variable) !== index)
  if (twice !== undefined) throw new VaultError('USAGE', `cannot set the variable "${twice}": it is asked for twice`)
  const loader = allowDangerous ? undefined : variables.find(isLoaderVariable)
  if (loader === undefined) return
  throw new VaultError('USAGE', `cannot set the variable "${loader}": its value decides what programs run or load`, {
    hints: ['if that is what you want, say --allow-dangerous-env'],
  })
}

/** Tells whether a variable makes programs run, load or trust what its value says. */
export function isLoaderVariable(variable: string): boolean {
  const upper = variable.toUpperCase()
  return LOADERS.has(upper) || LOADER_PREFIXES.some((prefix) => upper.startsWith(prefix))
}

/** Tells whether assigning to a variable can do more to a shell than set it: it decides what runs, or is the shell's own. */
export function isShellVariable(variable: string): boolean {
  const upper = variable.toUpperCase()
  return isLoaderVariable(variable) || SHELL_OWN.has(upper) || SHELL_PREFIXES.some((prefix) => upper.startsWith(prefix))
}

/** The environment of a child: the parent's, less what is mcpvault's own. */
export function childEnvironment(parent: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const kept = Object.entries(parent).filter(([name]) => !OWN_PREFIXES.some((prefix) => name.startsWith(prefix)))
  return Object.fromEntries(kept.filter((entry): entry is [string, string] => entry[1] !== undefined))
}

/**
 * Makes the text of a variable of a value.
 *
 * @throws {VaultError} INPUT if no variable can hold it
 */
export function variableText(value: Secret, name: string): string {
  const text = value.revealText()
  const reason =
    text === undefined ? 'it is not text in UTF-8' : text.includes('\0') ? 'it holds a NUL byte' : undefined
  if (text !== undefined && reason === undefined) return text
  throw new VaultError('INPUT', `cannot put "${name}" into an environment variable: ${reason}`, {
    hints: [`hand it over as a file: mcpvault exec --file VARIABLE=${name} -- …`],
  })
}
