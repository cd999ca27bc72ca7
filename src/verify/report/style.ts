/**
 * How the page looks. Red says that something which is promised was broken, or that two believed at once, and nothing else.
 */
export const STYLE = `
:root {
  color-scheme: light dark;
  --ground: #fbfbfa; --card: #ffffff; --edge: #dcdfe3; --faint: #eceef0;
  --text: #1b1f24; --muted: #56606b;
  --held: #17703a; --held-ground: #e6f4ea;
  --violated: #b91c1c; --violated-ground: #fdebea;
  --nothing: #855600; --nothing-ground: #fdf3dc;
  --exclusive: #3a66a7; --shared: #1f7673; --permits: #74549f; --on-bar: #ffffff;
  --waits: #b3bac2; --fault: #9a5b00; --pause: #7d6fa833; --pause-text: #5d4f8c; --overlap: #dc26263d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171a; --card: #1b1f23; --edge: #343a40; --faint: #272c31;
    --text: #e7e9eb; --muted: #a2abb4;
    --held: #5cc980; --held-ground: #14301f;
    --violated: #ff8680; --violated-ground: #3b1719;
    --nothing: #e3b04e; --nothing-ground: #35280d;
    --exclusive: #7ea6e0; --shared: #58b9b4; --permits: #b79be0; --on-bar: #0e1114;
    --waits: #5b646d; --fault: #e0a347; --pause: #9d8fce38; --pause-text: #b9aee0; --overlap: #ff5c5c4d;
  }
}
@media print {
  :root {
    color-scheme: light;
    --ground: #ffffff; --card: #ffffff; --edge: #c9cdd2; --faint: #e6e8ea; --text: #000000; --muted: #444b52;
    --held: #17703a; --held-ground: #e6f4ea; --violated: #b91c1c; --violated-ground: #fdebea;
    --nothing: #855600; --nothing-ground: #fdf3dc;
    --exclusive: #3a66a7; --shared: #1f7673; --permits: #74549f; --on-bar: #ffffff;
    --waits: #b3bac2; --fault: #9a5b00; --pause: #7d6fa833; --pause-text: #5d4f8c; --overlap: #dc26263d;
  }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .tools { display: none !important; }
  .trial, figure, tr { break-inside: avoid; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--ground); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: break-word;
}
/* What goes from side to side has its content where the others have theirs. */
main, .banner { padding-inline: max(clamp(0.75rem, 3vw, 2.5rem), calc((100% - 87rem) / 2)); }
main { padding-bottom: 4rem; }
h1, h2, h3, h4, p, dl, figure { margin: 0; }
h2 { margin: 3rem 0 0.75rem; font-size: 1.35rem; line-height: 1.3; }
h3 { margin: 1.75rem 0 0.5rem; font-size: 1.05rem; }
h4 { font-size: 1rem; }
p, li, dd { max-width: 76ch; }
a { color: inherit; text-underline-offset: 0.15em; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 0.875em; }
:focus-visible { outline: 3px solid var(--exclusive); outline-offset: 2px; border-radius: 3px; }
.muted { color: var(--muted); }
.aside { position: absolute; width: 0; height: 0; overflow: hidden; }
.mark { width: 1em; height: 1em; flex: none; vertical-align: -0.12em; }
.held { --tone: var(--held); --tone-ground: var(--held-ground); }
.violated { --tone: var(--violated); --tone-ground: var(--violated-ground); }
.nothing { --tone: var(--nothing); --tone-ground: var(--nothing-ground); }
.verdict { color: var(--tone); font-weight: 600; }

.banner {
  padding-block: clamp(1.5rem, 5vw, 3.5rem);
  background: var(--tone-ground); border-bottom: 4px solid var(--tone);
}
.banner h1 {
  display: flex; gap: 0.35em; align-items: center;
  font-size: clamp(2rem, 7vw, 4rem); line-height: 1.1; letter-spacing: -0.02em; color: var(--tone);
}
.banner p { margin-top: 0.9rem; font-size: 1.15rem; }
.banner ul { margin: 0.75rem 0 0; padding-left: 1.25rem; }

.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.3rem 1.25rem; }
.facts dt { color: var(--muted); }
.facts dd { margin: 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(11rem, 45%), 1fr)); gap: 0.75rem; }
.tiles div { display: flex; flex-direction: column; padding: 0.9rem 1rem; background: var(--card); border: 1px solid var(--edge); border-radius: 8px; }
.tiles dd { order: -1; margin: 0; font-size: 1.6rem; font-weight: 600; line-height: 1.2; }
.tiles dt { color: var(--muted); font-size: 0.9rem; line-height: 1.35; }
.tiles + p, .wide + p, p + p, p + .wide { margin-top: 0.75rem; }

.wide { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; }
caption { text-align: left; padding-bottom: 0.4rem; font-weight: 600; }
th, td { padding: 0.45rem 0.9rem 0.45rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--faint); }
thead th { border-bottom: 1px solid var(--edge); color: var(--muted); font-weight: 500; vertical-align: bottom; }
tbody th { font-weight: 500; }
.number { text-align: right; }
.matrix td { padding: 0.3rem 0.5rem 0.3rem 0; min-width: 8rem; }
.matrix tbody th { padding-top: 0.6rem; }
.matrix a {
  display: flex; flex-wrap: wrap; gap: 0 0.45em; align-items: center; padding: 0.3rem 0.6rem; border-radius: 6px;
  background: var(--tone-ground); color: var(--tone); font-weight: 600; text-decoration: none;
}
.matrix a:hover { text-decoration: underline; }
.matrix small { flex-basis: 100%; font-weight: 400; color: var(--text); }

.trial { margin: 0.5rem 0; background: var(--card); border: 1px solid var(--edge); border-left: 4px solid var(--tone); border-radius: 8px; }
.trial > summary { display: flex; gap: 0.5rem; align-items: baseline; padding: 0.7rem 1rem; cursor: pointer; list-style: none; }
.trial > summary > div { display: flex; flex-wrap: wrap; gap: 0.15rem 0.9rem; align-items: baseline; }
.trial > summary::-webkit-details-marker { display: none; }
.trial > summary::before { content: "▸"; color: var(--muted); width: 0.8em; flex: none; }
.trial[open] > summary::before { content: "▾"; }
.trial > summary .mark { margin-right: 0.45rem; color: var(--tone); }
.trial .body { padding: 0.25rem 1rem 1.25rem; }
.trial .facts { margin: 1rem 0; font-size: 0.95rem; }
.violations { margin: 0.75rem 0; padding: 0.6rem 0.9rem 0.6rem 2rem; background: var(--violated-ground); border-radius: 6px; }
.violations strong { color: var(--violated); }

.timeline { margin-top: 1.25rem; }
.timeline figcaption { margin-bottom: 0.5rem; font-weight: 600; max-width: 76ch; }
.tools { display: flex; flex-wrap: wrap; gap: 0.35rem; align-items: center; margin-bottom: 0.5rem; }
.tools[hidden] { display: none; }
.tools button, .words button {
  min-width: 2.5rem; min-height: 2.25rem; padding: 0.2rem 0.7rem; font: inherit; color: inherit; cursor: pointer;
  background: var(--card); border: 1px solid var(--edge); border-radius: 6px;
}
.tools button:hover, .words button:hover { border-color: var(--muted); }
.tools span { color: var(--muted); font-size: 0.875rem; }
.stage { border: 1px solid var(--edge); border-radius: 8px; padding: 0.25rem 0.5rem; background: var(--card); }
.drawing { display: flex; }
.drawing svg { display: block; flex: none; font-size: 12px; fill: var(--text); }
.drawing .plot { flex: 1 1 0; width: 0; min-width: 0; overflow: hidden; touch-action: pan-y pinch-zoom; }
.grip .plot { cursor: grab; }
.grip .plot:active { cursor: grabbing; }
.who text { fill: var(--muted); }
.off { display: none; }
.plot text { user-select: none; -webkit-user-select: none; pointer-events: none; }
.ticks rect { fill: var(--faint); }
.ticks text { fill: var(--muted); text-anchor: middle; }
.ground { fill: var(--faint); }
.middle { fill: var(--text); opacity: 0.55; }
.name { font-weight: 600; font-size: 13px; }
.name, .texts text { paint-order: stroke; stroke: var(--card); stroke-width: 4px; stroke-linejoin: round; }
.pause { fill: var(--pause); }
.still text { fill: var(--pause-text); font-size: 10px; }
.fault { fill: var(--fault); }
rect.fault { opacity: 0.5; }
rect.fault:not(.line) { opacity: 0.16; }
.texts [text-anchor="start"] { transform: translateX(5px); }
.texts [text-anchor="end"] { transform: translateX(-5px); }
.overlap { fill: var(--violated); }
rect.overlap { fill: var(--overlap); stroke: var(--violated); stroke-width: 1.5px; }
.waits { fill: var(--waits); }
.exclusive { fill: var(--exclusive); }
.shared { fill: var(--shared); }
.permits { fill: var(--permits); }
.late { fill: url(#hatch); stroke: var(--exclusive); stroke-width: 1px; }
.hatch { fill: var(--exclusive); }
.inside { fill: var(--on-bar); }
.hold { cursor: pointer; }
.chosen rect { stroke: var(--text); stroke-width: 2px; }
.sign { fill: none; stroke: var(--text); stroke-width: 1.75px; stroke-linecap: round; }
.sign.solid { fill: var(--fault); stroke: var(--card); stroke-width: 1.5px; }
.sign.strong { stroke-width: 2.5px; }
.cutout { fill: none; stroke: var(--card); stroke-width: 1.9px; stroke-linecap: round; stroke-linejoin: round; }
.sign.quiet { stroke: var(--muted); stroke-width: 1.5px; }
.scale { margin-top: 0.4rem; color: var(--muted); font-size: 0.875rem; }
.words { margin-top: 0.9rem; font-size: 0.925rem; }
.words td, .words th { padding-top: 0.15rem; padding-bottom: 0.15rem; }
.words td:first-child { white-space: nowrap; }
.words .now td { background: var(--faint); }
.words pre { margin: 0.75rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; color: var(--muted); }
.legend { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); gap: 0.35rem 1.5rem; padding: 0; margin: 0.75rem 0 0; list-style: none; }
.legend li { display: flex; gap: 0.75rem; align-items: center; font-size: 0.925rem; }
.legend svg { width: 48px; height: 24px; flex: none; font-size: 12px; overflow: hidden; }
@media (max-width: 40rem) {
  .facts { grid-template-columns: minmax(0, 1fr); gap: 0; }
  .facts dd { margin-bottom: 0.5rem; }
  .trial .body { padding: 0.25rem 0.75rem 1rem; }
}
`
