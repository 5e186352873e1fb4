/**
 * The command tree: each command's name, group, one sentence, and a lazy import of its file. Adding a command is adding a
 * row.
 *
 * @module
 */

import type { CommandGroup, CommandRow } from './command-row.js'

export type { AddCommand, CommandGroup, CommandRow } from './command-row.js'

/** All commands in the order of the help. */
export const COMMAND_GROUPS: readonly CommandGroup[] = [
  {
    title: 'Credentials',
    rows: [
      {
        name: 'init',
        summary: 'makes a vault, and a key if there is none',
        load: async () => (await import('./commands/init.js')).addInitCommand,
      },
      {
        name: 'store',
        summary: 'keeps a new credential',
        load: async () => (await import('./commands/store.js')).addStoreCommand,
      },
      {
        name: 'load',
        summary: 'prints the value of a credential',
        load: async () => (await import('./commands/load.js')).addLoadCommand,
      },
      {
        name: 'list',
        summary: 'lists the credentials, never their values',
        load: async () => (await import('./commands/list.js')).addListCommand,
      },
      {
        name: 'history',
        summary: 'tells what happened to a credential',
        load: async () => (await import('./commands/history.js')).addHistoryCommand,
      },
      {
        name: 'rollback',
        summary: 'makes a kept version current again',
        load: async () => (await import('./commands/rollback.js')).addRollbackCommand,
      },
      {
        name: 'rename',
        summary: 'gives a credential another name',
        load: async () => (await import('./commands/rename.js')).addRenameCommand,
      },
      {
        name: 'remove',
        summary: 'removes a credential for good',
        load: async () => (await import('./commands/remove.js')).addRemoveCommand,
      },
      {
        name: 'import',
        summary: 'takes in a .env file, JSON or a tutorial vault at once',
        load: async () => (await import('./commands/import.js')).addImportCommand,
      },
      {
        name: 'adopt',
        summary: 'moves plain-text keys of MCP client configs into the vault',
        load: async () => (await import('./commands/adopt.js')).addAdoptCommand,
      },
      {
        name: 'export',
        summary: 'prints all values, in plain text or as a tutorial vault',
        load: async () => (await import('./commands/export.js')).addExportCommand,
      },
    ],
  },
  {
    title: 'Rotation',
    rows: [
      {
        name: 'rotate',
        summary: 'replaces a value in stages; the old one stays loadable for a while',
        load: async () => (await import('./commands/rotate.js')).addRotateCommand,
      },
      {
        name: 'rotation-due',
        summary: 'asks what is due: exit 0 if something is, 1 if nothing is',
        load: async () => (await import('./commands/rotation-due.js')).addRotationDueCommand,
      },
      {
        name: 'policy',
        summary: 'says how one credential is rotated, and when it is due',
        rows: [
          {
            name: 'set',
            summary: 'sets ages, provider, probe, targets and hook of a credential',
            load: async () => (await import('./commands/policy-set.js')).addPolicySetCommand,
          },
          {
            name: 'show',
            summary: 'shows what holds for a credential',
            load: async () => (await import('./commands/policy-show.js')).addPolicyShowCommand,
          },
          {
            name: 'clear',
            summary: 'takes its own policy away from a credential',
            load: async () => (await import('./commands/policy-clear.js')).addPolicyClearCommand,
          },
        ],
      },
      {
        name: 'leaked',
        summary: 'records that a value has leaked: it is due until it is rotated',
        load: async () => (await import('./commands/leaked.js')).addLeakedCommand,
      },
      {
        name: 'schedule',
        summary: 'prints a crontab line or systemd units that rotate, or say what is due',
        load: async () => (await import('./commands/schedule.js')).addScheduleCommand,
      },
      {
        name: 'uses',
        summary: 'lists who holds a credential, in which version, and who reaches it',
        load: async () => (await import('./commands/uses.js')).addUsesCommand,
      },
      {
        name: 'log',
        summary: 'reads the rotation log, checks it, and settles it with the vault',
        rows: [
          {
            name: 'show',
            summary: 'prints the rotation log as JSON',
            load: async () => (await import('./commands/log-show.js')).addLogShowCommand,
          },
          {
            name: 'verify',
            summary: 'checks whether the log was edited or cut',
            load: async () => (await import('./commands/log-verify.js')).addLogVerifyCommand,
          },
          {
            name: 'settle',
            summary: 'appends what the vault has committed and the log lacks, and changes nothing else',
            load: async () => (await import('./commands/log-settle.js')).addLogSettleCommand,
          },
        ],
      },
    ],
  },
  {
    title: 'Access',
    rows: [
      {
        name: 'token',
        summary: 'makes, narrows, checks and revokes scoped tokens',
        rows: [
          {
            name: 'create',
            summary: 'makes a token that may call named tools for a short time',
            load: async () => (await import('./commands/token-create.js')).addTokenCreateCommand,
          },
          {
            name: 'narrow',
            summary: 'makes a weaker token from a token, without vault or key',
            load: async () => (await import('./commands/token-narrow.js')).addTokenNarrowCommand,
          },
          {
            name: 'check',
            summary: 'asks whether a token may call a tool: exit 0 for yes, 1 for no',
            load: async () => (await import('./commands/token-check.js')).addTokenCheckCommand,
          },
          {
            name: 'show',
            summary: 'decodes a token',
            load: async () => (await import('./commands/token-show.js')).addTokenShowCommand,
          },
          {
            name: 'list',
            summary: 'lists the tokens that were created here',
            load: async () => (await import('./commands/token-list.js')).addTokenListCommand,
          },
          {
            name: 'revoke',
            summary: 'revokes tokens and everything narrowed from them',
            load: async () => (await import('./commands/token-revoke.js')).addTokenRevokeCommand,
          },
        ],
      },
      {
        name: 'search',
        summary: 'searches the web with the stored key, for whoever holds a token',
        load: async () => (await import('./commands/search.js')).addSearchCommand,
      },
      {
        name: 'exec',
        summary: 'runs a program with credentials in its environment or in private files',
        load: async () => (await import('./commands/exec.js')).addExecCommand,
      },
      {
        name: 'inject',
        summary: 'fills a template with credentials',
        load: async () => (await import('./commands/inject.js')).addInjectCommand,
      },
      {
        name: 'headers',
        summary: "prints headers for Claude Code's headersHelper",
        load: async () => (await import('./commands/headers.js')).addHeadersCommand,
      },
      {
        name: 'serve',
        summary: 'stands in front of MCP servers: checks tokens, puts credentials in',
        load: async () => (await import('./commands/serve.js')).addServeCommand,
      },
      {
        name: 'connect',
        summary: 'is an MCP server on stdin and stdout, for clients that start their servers',
        load: async () => (await import('./commands/connect.js')).addConnectCommand,
      },
      {
        name: 'config',
        summary: 'looks at the configuration of the gateway, and approves it',
        rows: [
          {
            name: 'allow',
            summary: 'lets the gateway use its configuration as it is now',
            load: async () => (await import('./commands/config-allow.js')).addConfigAllowCommand,
          },
          {
            name: 'show',
            summary: 'shows the servers, and which credential goes where',
            load: async () => (await import('./commands/config-show.js')).addConfigShowCommand,
          },
        ],
      },
    ],
  },
  {
    title: 'Care',
    rows: [
      {
        name: 'demo',
        summary: 'plays the whole story in a temporary folder',
        load: async () => (await import('./commands/demo.js')).addDemoCommand,
      },
      {
        name: 'key',
        summary: 'looks after the keys that open the vault',
        rows: [
          {
            name: 'check',
            summary: 'asks whether the key that is found is the right one',
            load: async () => (await import('./commands/key-check.js')).addKeyCheckCommand,
          },
          {
            name: 'list',
            summary: 'lists the keys that open the vault, and its fingerprint',
            load: async () => (await import('./commands/key-list.js')).addKeyListCommand,
          },
          {
            name: 'add',
            summary: 'lets another key open the vault: a recipient of age, a key file, a passphrase, the keychain',
            load: async () => (await import('./commands/key-add.js')).addKeyAddCommand,
          },
          {
            name: 'remove',
            summary: 'takes a key away, and seals everything under a new data key',
            load: async () => (await import('./commands/key-remove.js')).addKeyRemoveCommand,
          },
          {
            name: 'rotate',
            summary: 'seals everything under a new data key, for the same keys',
            load: async () => (await import('./commands/key-rotate.js')).addKeyRotateCommand,
          },
          {
            name: 'identity',
            summary: 'makes an age identity for this user, and prints its recipient',
            load: async () => (await import('./commands/key-identity.js')).addKeyIdentityCommand,
          },
        ],
      },
      {
        name: 'upgrade',
        summary: 'turns a tutorial vault into a native one',
        load: async () => (await import('./commands/upgrade.js')).addUpgradeCommand,
      },
      {
        name: 'backup',
        summary: 'copies vault, log and token records as one consistent set',
        load: async () => (await import('./commands/backup.js')).addBackupCommand,
      },
      {
        name: 'restore',
        summary: 'puts a backup back',
        load: async () => (await import('./commands/restore.js')).addRestoreCommand,
      },
      {
        name: 'scan',
        summary: 'looks for values of the vault in files and in git',
        load: async () => (await import('./commands/scan.js')).addScanCommand,
      },
      {
        name: 'status',
        summary: 'shows how old everything is, what is due next and what is alive',
        load: async () => (await import('./commands/status.js')).addStatusCommand,
      },
      {
        name: 'doctor',
        summary: 'looks for what is wrong, and says which command mends it',
        load: async () => (await import('./commands/doctor.js')).addDoctorCommand,
      },
      {
        name: 'completion',
        summary: 'prints the completion script of bash, zsh or fish',
        load: async () => (await import('./commands/completion.js')).addCompletionCommand,
      },
      {
        name: 'help',
        summary: 'explains a command, or one of the topics environment and exit-codes',
        load: async () => (await import('./commands/help.js')).addHelpCommand,
      },
    ],
  },
]

/** Finds a command of a list by name. */
export function findRow(rows: readonly CommandRow[], name: string | undefined): CommandRow | undefined {
  return rows.find((row) => row.name === name)
}

/** The commands of all groups. */
export function allRows(): readonly CommandRow[] {
  return COMMAND_GROUPS.flatMap((group) => group.rows)
}

/** Finds a command by all its words, such as `token` and `check`. */
export function findPath(path: readonly string[]): CommandRow | undefined {
  const [first, ...rest] = path
  const row = findRow(allRows(), first)
  return rest.reduce<CommandRow | undefined>((found, name) => findRow(found?.rows ?? [], name), row)
}
