/**
 * HTML and SVG as templates that escape whatever they are given.
 *
 * What a history says (names, processes, reasons) was chosen by others, so nothing gets into a page unescaped unless it is
 * `Markup` already.
 *
 * The tag is not called `html`: formatters lay out such templates anew, and the page names its style and its script by the
 * hashes of their text.
 */

export class Markup {
  readonly text: string

  /** @param text is trusted as it is */
  constructor(text: string) {
    this.text = text
  }
}

/** `undefined` and `false` are nothing, so that a part can be left out by a condition. */
export type Part = Markup | string | number | undefined | false | readonly Part[]

/** @example markup`<p title="${name}">${[one, two]}</p>`; attributes stand in double quotes. */
export function markup(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  let text = strings[0]!
  for (const [index, part] of parts.entries()) text += textOf(part) + strings[index + 1]!
  return new Markup(text)
}

function textOf(part: Part): string {
  if (part === undefined || part === false) return ''
  if (part instanceof Markup) return part.text
  if (typeof part === 'object') return part.map(textOf).join('')
  return escaped(String(part))
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** What a browser would not show, or would let turn the text around it. Tabs and ends of lines may stay. */
const UNSEEN = /(?![\t\n])\p{Cc}|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]|\p{Cs}/gu

function escaped(text: string): string {
  return text
    .replace(UNSEEN, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .replace(/[&<>"']/g, (character) => ENTITIES[character]!)
}
