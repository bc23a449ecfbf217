/** The style of the page: the fonts of the system, light or dark as the reader wants, and cards on a narrow screen. */
export const style = `:root {
  color-scheme: light dark;
  --ground: light-dark(#f6f7f9, #101317);
  --card: light-dark(#ffffff, #181c22);
  --text: light-dark(#1b2027, #e4e8ee);
  --soft: light-dark(#5a6472, #98a3b3);
  --line: light-dark(#dfe3e9, #2b323c);
  --accent: light-dark(#1f5fbf, #7fb0ff);
  --good: light-dark(#1a6e3c, #6fd398);
  --good-ground: light-dark(#e2f4e9, #14301f);
  --bad: light-dark(#a8201a, #ff9d95);
  --bad-ground: light-dark(#fdeaea, #3a1716);
  --busy: light-dark(#8a5300, #f2c063);
  --busy-ground: light-dark(#fdf2dc, #33260d);
}
* { box-sizing: border-box; }
html { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
body { margin: 0; background: var(--ground); color: var(--text); }
header, main, footer { max-width: 90rem; margin: 0 auto; padding: 0 1.25rem; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1.5rem; padding-top: 1.25rem; }
h1 { font-size: 1.35rem; font-weight: 650; margin: 0; flex: 1 1 20rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; font-weight: 650; margin: 0 0 .75rem; }
h3 { font-size: .9rem; margin: 0 0 .25rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: 1rem 1.25rem; margin: 1rem 0; }
footer { color: var(--soft); font-size: .85rem; padding-bottom: 2rem; }
code { font: .88em ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
a { color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
label { color: var(--soft); }
input { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .3rem .6rem; width: min(20rem, 60vw); }
#live { flex-basis: 100%; margin: 0; padding: .5rem .75rem; border-radius: .5rem; color: var(--bad); background: var(--bad-ground); }
.count, .off, .empty, dt { color: var(--soft); }
.count { font-weight: 400; font-size: .9rem; }
.empty { margin: 0; }
.aside { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.note { color: var(--soft); font-size: .87rem; overflow-wrap: anywhere; }
.badge { display: inline-block; padding: .05rem .55rem; border-radius: 1rem; font-size: .82rem; font-weight: 600; border: 1px solid var(--line); }
.badge.good { color: var(--good); background: var(--good-ground); border-color: transparent; }
.badge.bad { color: var(--bad); background: var(--bad-ground); border-color: transparent; }
.badge.busy { color: var(--busy); background: var(--busy-ground); border-color: transparent; }
.problems { color: var(--bad); background: var(--bad-ground); border-radius: .5rem; padding: .6rem .9rem; margin: 0 0 .9rem; overflow-wrap: anywhere; }
.problems ul { margin: 0; padding-left: 1.1rem; }
#node p { margin: 0 0 .75rem; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: .6rem 1.5rem; margin: 0; }
dt { font-size: .82rem; }
dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .45rem .9rem .45rem 0; border-top: 1px solid var(--line); font-weight: 400; }
thead th { color: var(--soft); font-size: .82rem; border-top: 0; padding-top: 0; white-space: nowrap; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.reference { overflow-wrap: anywhere; }
progress { appearance: none; width: 9rem; height: .5rem; border: 0; border-radius: .25rem; background: var(--line); vertical-align: middle; overflow: hidden; }
progress::-webkit-progress-bar { background: var(--line); }
progress::-webkit-progress-value { background: var(--accent); }
progress::-moz-progress-bar { background: var(--accent); }
dd progress { display: block; width: 100%; max-width: 20rem; margin: .4rem 0 .2rem; }
.layers { list-style: none; margin: .25rem 0 0; padding: 0; color: var(--soft); font-size: .87rem; }
.layers progress { width: 5rem; height: .35rem; }
.paging { display: flex; gap: 1rem; padding-top: .75rem; color: var(--soft); }
@media (max-width: 46rem) {
  header, main, footer { padding-inline: .75rem; }
  section { padding: .9rem; }
  thead { display: none; }
  table, tbody, tr, th, td { display: block; }
  tbody tr { border-top: 1px solid var(--line); padding: .5rem 0; }
  tbody tr:first-child { border-top: 0; }
  tbody th, tbody td, td.number { border: 0; padding: .1rem 0; text-align: left; white-space: normal; }
  tbody th { font-weight: 600; }
  tbody td, td.number { position: relative; min-height: 1.6em; padding-left: 6.5rem; }
  tbody td::before { content: attr(data-heading); position: absolute; left: 0; color: var(--soft); font-size: .87rem; }
}
@media print { section { break-inside: avoid; } form { display: none; } }
`;

/** A box with a lid. */
export const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#3b7ddd" d="M1 4.5 8 1l7 3.5v7L8 15l-7-3.5z"/><path fill="none" stroke="#fff" d="M1.5 4.8 8 8l6.500-3.200M8 8v6.500"/></svg>
`;
