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
  return printFlat(text)
}

function printFlat(text: string): Buffer | undefined {
  try {
    const elements: unknown = JSON.parse(text)
    if (!Array.isArray(elements) || JSON.stringify(elements, null, 2) !== text.trimEnd()) return undefined
    return Buffer.from(`[${elements.map((element) => JSON.stringify(element)).join(',\n')}]\n`)
  } catch (error) {
    // A RangeError is what printing throws of an array that is nested too deeply.
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined
    throw error
  }
}
