const LONGEST_TOOL_BYTES = 128
// Printable ASCII without white space, without the comma that separates names and without `*`, which is no pattern here.
const TOOL_NAME = /^[!-)+\--.0-~]+(?:\/[!-)+\--.0-~]+)*$/

/** Tells whether a text can be a tool's name: printable, at most 128 bytes, `UPSTREAM/tool` or bare. */
export function isToolName(text: string): boolean {
  return text.length <= LONGEST_TOOL_BYTES && TOOL_NAME.test(text)
}
