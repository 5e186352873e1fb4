/** Finds a secret in bytes in the forms that programs write values in; made without src/redact, which it helps to judge. */

const known = new Map<string, ReadonlyMap<string, Buffer>>()

/** Every form of a secret that is looked for, by its name. */
export function formsOf(secret: string): ReadonlyMap<string, Buffer> {
  const forms = known.get(secret) ?? makeForms(secret)
  known.set(secret, forms)
  return forms
}

function makeForms(secret: string): ReadonlyMap<string, Buffer> {
  const bytes = Buffer.from(secret, 'utf8')
  const forms = new Map<string, string>([
    ['raw', secret],
    ['hex', bytes.toString('hex')],
    ['HEX', bytes.toString('hex').toUpperCase()],
    ['JSON', JSON.stringify(secret).slice(1, -1)],
    ['JSON in ASCII', asciiJson(secret)],
    ['percent', encodeURIComponent(secret)],
    ['UTF-16', bytes.toString('utf16le')],
    ['shell', secret.replaceAll("'", `'\\''`)],
  ])
  for (let shift = 0; shift < 3; shift++) {
    // What stands before and behind changes the first and last characters; those in between are the secret's own.
    const padded = Buffer.concat([Buffer.alloc(shift, 0xaa), bytes])
    for (const alphabet of ['base64', 'base64url'] as const) {
      const text = padded.toString(alphabet).replace(/=+$/, '')
      forms.set(`${alphabet} shifted by ${shift}`, text.slice(shift === 0 ? 0 : shift + 1, -2))
    }
  }
  const found = [...forms].map(([name, text]) => [name, Buffer.from(text, 'utf8')] as const)
  return new Map([...found, ['raw UTF-16', Buffer.from(secret, 'utf16le')]])
}

/** Names the forms of a secret that stand in some bytes. */
export function findForms(bytes: Buffer | string, secret: string): readonly string[] {
  const haystack = typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : bytes
  return [...formsOf(secret)].filter(([, form]) => form.length > 8 && haystack.includes(form)).map(([name]) => name)
}

function asciiJson(text: string): string {
  return JSON.stringify(text)
    .slice(1, -1)
    .replace(/[^\x20-\x7e]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
