/** The marks of verdicts and of timelines, drawn once and used everywhere, and what they mean. */
import type { Markup, Part } from './markup.ts'
import { markup } from './markup.ts'
import type { Verdict } from './report.ts'

const SHAPES: Readonly<Record<Verdict, string>> = {
  held: 'M4.5 8.3 7 10.8 11.7 5.6',
  violated: 'M5.2 5.2 10.8 10.8M10.8 5.2 5.2 10.8',
  'proved nothing': 'M6 6.2a2.1 2.1 0 1 1 2.9 2c-.7.3-.9.7-.9 1.4M8 11.6v.2',
}

/** As a class of the style, and in the address of a mark. */
export function classOf(verdict: Verdict): string {
  return verdict === 'proved nothing' ? 'nothing' : verdict
}

export function markOf(verdict: Verdict): Markup {
  return markup`<svg class="mark" viewBox="0 0 16 16" aria-hidden="true"><use href="#verdict-${classOf(verdict)}"/></svg>`
}

/** For the browser's tab. */
export function iconOf(verdict: Verdict): string {
  const color = { held: '#17703a', violated: '#b91c1c', 'proved nothing': '#855600' }[verdict]
  const picture = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="8" fill="${color}"/><path d="${SHAPES[verdict]}" fill="none" stroke="#fff" stroke-width="1.8"/></svg>`
  return `data:image/svg+xml,${encodeURIComponent(picture)}`
}

export const SIGNS: Markup = markup`<svg class="aside" aria-hidden="true"><defs>
<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="hatch" width="2.5" height="6"/></pattern>
${(['held', 'violated', 'proved nothing'] as const).map(
  (verdict) =>
    markup`<g id="verdict-${classOf(verdict)}"><circle cx="8" cy="8" r="8" fill="currentColor"/><path class="cutout" d="${SHAPES[verdict]}"/></g>`,
)}
<path id="mark-lost" class="sign solid" d="M0-6 6 0 0 6-6 0z"/>
<path id="mark-released" class="sign" d="M0-11v22"/>
<path id="mark-gave-up" class="sign quiet" d="M-3.5-3.5 3.5 3.5M3.5-3.5-3.5 3.5"/>
<path id="mark-crash" class="sign strong" d="M-7-7 7 7M7-7-7 7"/>
<path id="mark-left" class="sign quiet" d="M-4 4 0-3 4 4z"/>
<path id="mark-accepted" class="sign quiet" d="M0-3v6"/>
<path id="mark-refused" class="sign" d="M-3.5-3.5 3.5 3.5M3.5-3.5-3.5 3.5"/>
</defs></svg>`

/** Each with a sample of 48 by 24 pixels. */
const MEANINGS: readonly [sample: Markup, meaning: string][] = [
  [markup`<rect class="waits" y="10" width="48" height="4"/>`, 'asks, and waits'],
  [
    markup`<rect class="exclusive" y="3" width="48" height="18"/><text class="inside" x="6" y="16">12</text>`,
    'believes that it holds, with this fence',
  ],
  [
    markup`<rect class="shared" y="3" width="22" height="18"/><rect class="permits" x="26" y="3" width="22" height="18"/>`,
    'the same, shared; with permits of a semaphore',
  ],
  [
    markup`<rect class="late" x="1" y="3" width="46" height="18"/>`,
    'its deadline has passed, and its code has not been told yet',
  ],
  [markup`<use href="#mark-lost" x="24" y="12"/>`, 'is told that its lease is lost'],
  [markup`<use href="#mark-released" x="24" y="12"/>`, 'releases'],
  [markup`<use href="#mark-left" x="24" y="12"/>`, 'its lease ended at the coordinator'],
  [markup`<use href="#mark-gave-up" x="24" y="12"/>`, 'gave up waiting, or was refused'],
  [markup`<use href="#mark-crash" x="24" y="12"/>`, 'its process is gone for good'],
  [markup`<rect class="pause" width="48" height="24"/>`, 'its process stands still, or its machine sleeps'],
  [markup`<rect class="fault" x="23" width="1.5" height="24"/>`, 'a fault strikes, or is over'],
  [
    markup`<use href="#mark-accepted" x="16" y="12"/><use href="#mark-refused" x="32" y="12"/>`,
    'a register is accessed; refuses a stale access',
  ],
  [markup`<rect class="overlap" x="8" y="1" width="32" height="22"/>`, 'more believe at once than may'],
]

export function legend(): Part {
  return markup`<ul class="legend">${MEANINGS.map(
    ([sample, meaning]) => markup`<li><svg aria-hidden="true">${sample}</svg>${meaning}</li>`,
  )}</ul>`
}
