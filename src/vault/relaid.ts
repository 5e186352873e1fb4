import { NATIVE_MAGIC } from './native-format.js'

/**
 * Undoes what a JavaScript program written from the tutorial does to a native vault that it takes for its own.
 *
 * The vault is an array, so `credentials[name] = …` is lost when the program prints it again; nothing changes but the
 * layout, which becomes that of `JSON.stringify(…, null, 2)`. Exactly that layout is undone and no other, so that every
 * other changed byte stays damage; the MAC is then checked over the bytes given back.
 *
 * Gives undefined when the bytes are not in that layout.
 */
export function undoLayout(bytes: Buffer): Buffer | undefined {
  const head = NATIVE_MAGIC.replace('[', '[\n  ')
  if (bytes.subarray(0, head.length).toString('latin1') !== head) return undefined
  const text = bytes.toString('utf8')
  const elements = parseArray(text)
  if (elements === undefined || JSON.stringify(elements, null, 2) !== text.trimEnd()) return undefined
  return Buffer.from(`[${elements.map((element) => JSON.stringify(element)).join(',\n')}]\n`)
}

function parseArray(text: string): readonly unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}
