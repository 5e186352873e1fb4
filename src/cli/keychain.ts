/**
 * The keychain of the operating system, through the package @napi-rs/keyring, which need not be installed.
 *
 * @module
 */

import { createRequire } from 'node:module'
import { VaultError } from '../errors.js'
import type { Keychain } from './context.js'

const KEYCHAIN_SERVICE = 'mcpvault'

/** What is used of @napi-rs/keyring, a package that need not be installed. */
interface KeyringPackage {
  readonly Entry: new (
    service: string,
    account: string,
    options: { readonly linux: { readonly store: 'secret-service' } },
  ) => {
    getPassword(): string | null
    setPassword(text: string): void
    deletePassword(): boolean
  }
}

/** Makes the keychain of this machine; the package behind it is loaded when it is used. */
export function systemKeychain(platform: string): Keychain {
  const using = <T>(account: string, use: (entry: InstanceType<KeyringPackage['Entry']>) => T): T => {
    const { Entry } = loadKeyring()
    try {
      // Without a Secret Service the package would fall back to the kernel's keyring, which forgets at the next boot.
      return use(new Entry(KEYCHAIN_SERVICE, account, { linux: { store: 'secret-service' } }))
    } catch (error) {
      throw new VaultError(
        'NO_KEY',
        'cannot use the keychain: this session has none that answers, or it was not unlocked',
        {
          cause: error,
          hints: [
            platform === 'linux'
              ? 'it takes a Secret Service on the session bus, such as gnome-keyring or KeePassXC'
              : 'unlock the login keychain',
            'or give the key another way: mcpvault help environment',
          ],
        },
      )
    }
  }
  return {
    read: (account) => using(account, (entry) => entry.getPassword()) ?? undefined,
    write: (account, text) => using(account, (entry) => entry.setPassword(text)),
    remove: (account) => using(account, (entry) => entry.deletePassword()),
  }
}

function loadKeyring(): KeyringPackage {
  try {
    return createRequire(import.meta.url)('@napi-rs/keyring') as KeyringPackage
  } catch (error) {
    throw new VaultError('NO_KEY', 'cannot use the keychain: the optional package @napi-rs/keyring is not installed', {
      cause: error,
      hints: ['npm install @napi-rs/keyring beside mcpvault', 'or give the key another way: mcpvault help environment'],
    })
  }
}
