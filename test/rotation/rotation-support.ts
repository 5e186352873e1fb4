import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemContext } from '../../src/cli/system.js'
import type { RotationWorld } from '../../src/rotation/programs.js'
import { temporaryDirectory } from '../support/directory.js'

/** A world whose programs are real and whose words are kept. */
export class RotationPlace {
  readonly directory = temporaryDirectory()
  readonly said: string[] = []
  readonly warned: string[] = []

  /** Writes a shell script into the directory and gives its path. */
  script(name: string, body: string): string {
    const path = join(this.directory, name)
    writeFileSync(path, `#!/bin/sh\n${body}\n`)
    chmodSync(path, 0o755)
    return path
  }

  /** A world that was changed in some members. */
  world(changes: Partial<RotationWorld> = {}): RotationWorld {
    const { host, guardGroup, now, randomBytes } = systemContext()
    return {
      directory: this.directory,
      home: this.directory,
      environment: { PATH: '/usr/bin:/bin', HOME: this.directory },
      host,
      searchBaseUrl: undefined,
      now,
      randomBytes,
      guardGroup,
      say: (line) => this.said.push(line),
      warn: (sentence) => this.warned.push(sentence),
      ...changes,
    }
  }
}

/** Gives how a promise failed. */
export async function failureOf(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise
  } catch (error) {
    return error as Error
  }
  throw new Error('it did not fail')
}
