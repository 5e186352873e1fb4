/**
 * Everything a command may touch of the world outside, as interfaces: tests hand in their own.
 *
 * @module
 */

/** Where a command writes. Writing is synchronous, so nothing is lost when the process ends. */
export interface Output {
  /**
   * Writes all of it. A reader that has gone away is not an error: the rest is dropped.
   *
   * @throws {VaultError} IO if the text cannot be written (a full disk).
   */
  write(text: string | Buffer): void
  /** As `write`, without keeping this process from anything else while a slow reader is waited for. */
  writeLater?(bytes: Buffer): Promise<void>
  /** Whether a person watches; looked up on first use, since asking costs start-up time. */
  readonly isTerminal: boolean
  /** Whether a write has found that nobody reads any more. */
  readonly isClosed?: boolean
  /** Width in columns; 80 where unknown. */
  readonly columns: number
  /** Height in lines; undefined where unknown. */
  readonly rows?: number | undefined
}

/** Standard input. Never read unless the user asked for it. */
export interface Input {
  readonly isTerminal: boolean
  /** Reads to the end. @throws {VaultError} INPUT if stdin is closed or longer than `maxBytes`. */
  readAll(maxBytes: number): Promise<Buffer>
  /** Gives what comes as it comes, to the end. */
  chunks(): AsyncIterable<Buffer>
}

/** Questions on the terminal, drawn on stderr. Only to be called when stdin and stderr are terminals. */
export interface Prompter {
  /** Asks for a secret without echo. @throws {VaultError} CANCELLED */
  hidden(question: string): Promise<string>
  /** Asks for a text. @throws {VaultError} CANCELLED */
  text(question: string): Promise<string>
  /** Asks for one of the choices, which follow what is typed so far. @throws {VaultError} CANCELLED */
  search(question: string, choicesFor: (typed: string) => readonly string[]): Promise<string>
  /** Asks yes or no; no is the default. @throws {VaultError} CANCELLED */
  confirm(question: string): Promise<boolean>
}

/** The keychain of the operating system: texts by account, all under the service `mcpvault`. */
export interface Keychain {
  /** @throws {VaultError} NO_KEY if it cannot be asked: it is missing, or was not unlocked. */
  read(account: string): string | undefined
  /** @throws {VaultError} NO_KEY */
  write(account: string, text: string): void
  /** Gives whether there was something. @throws {VaultError} NO_KEY */
  remove(account: string): boolean
}

/** What a program that mcpvault ran has answered. */
export interface ProgramResult {
  readonly exitCode: number | null
  readonly signal: string | null
  readonly stdout: Buffer
}

/** A program that runs beside mcpvault, with all that it started and that stayed in its process group. */
export interface ProgramGroup {
  /** Ends them with SIGKILL. */
  kill(): void
  /** To be called once the program has ended. */
  release(): void
}

/** The machine and process that a command runs in. */
export interface Host {
  readonly pid: number
  /** `linux` or `darwin`; others are refused at the first write. */
  readonly platform: string
  /** Effective user id; -1 where there is none. */
  readonly uid: number
  /** `user@host`, as the log's `by` has it. */
  readonly user: string
  /** The home directory that the user database has, which a timer finds in HOME whatever it is here. */
  readonly accountHome: string
  /** The absolute paths of node and of the script that was started, which start mcpvault again. */
  readonly launcher: readonly [node: string, script: string]
}

/** The world, as a command sees it. */
export interface Context {
  readonly stdin: Input
  readonly stdout: Output
  readonly stderr: Output
  readonly prompt: Prompter
  readonly keychain: Keychain
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly home: string
  readonly host: Host
  /** Milliseconds since the epoch. */
  now(): number
  randomBytes(length: number): Buffer
  /** Calls `listener` at each signal of this name instead of ending the process; gives a function that ends that. */
  onSignal(name: NodeJS.Signals, listener: () => void): () => void
  /** Reads an inherited descriptor to its end (`--key-fd`). @throws {VaultError} INPUT */
  readDescriptor(fd: number, maxBytes: number): Buffer
  /** Runs a program without a shell and gives its stdout; stderr is inherited. @throws {VaultError} INPUT */
  runProgram(argv: readonly string[], options: { readonly timeoutMs: number; readonly maxBytes: number }): ProgramResult
  /**
   * Starts a program that leads a process group of its own, which a terminal's Ctrl-C does not reach, and watches over it:
   * a signal that ends mcpvault ends the group first. `start` gives the program's pid; undefined if there is none to watch
   * over.
   */
  guardGroup(start: () => number | undefined): ProgramGroup
  /** Calls a listener when a signal is about to end mcpvault, until the function that it gives is called. */
  whenEnded(listener: () => void): () => void
}
