import type { ConfigPath, ConfigText } from './config-text.js'
import type { TextFile } from './replace-text-file.js'

/**
 * Reads the text of a config by its name: TOML or JSON with comments. The parser is loaded only then.
 *
 * @throws {VaultError} INPUT with line and column, never with a piece of the text.
 */
export async function openConfig({ path, text }: Pick<TextFile, 'path' | 'text'>): Promise<ConfigText> {
  return (await parserOf(path))(text, path)
}

/** Tells by its name whether a config is TOML; everything else is JSON. */
export function isToml(path: string): boolean {
  return /\.toml$/i.test(path)
}

/** Gives the parser for a config of that name. */
export async function parserOf(path: string): Promise<(text: string, label: string) => ConfigText> {
  return isToml(path) ? (await import('./toml.js')).parseToml : (await import('./jsonc.js')).parseJsonc
}

/** An entry of a config as a text of its own, where its form allows that: editing a large config stays cheap then. */
export interface EntryView {
  readonly text: ConfigText
  readonly path: ConfigPath
  /** Gives the whole config with the edited entry in its place. */
  replace(edited: ConfigText): Promise<ConfigText>
}

/** Looks at one entry of a config. */
export async function viewEntry(config: ConfigText, path: ConfigPath, label: string): Promise<EntryView> {
  const span = config.spanOf(path)
  if (span === undefined || isToml(label)) return { text: config, path, replace: async (edited) => edited }
  const parse = await parserOf(label)
  return {
    text: parse(config.text.slice(span.start, span.end), label),
    path: [],
    replace: async (edited) => {
      return parse(config.text.slice(0, span.start) + edited.text + config.text.slice(span.end), label)
    },
  }
}
