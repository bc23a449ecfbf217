import type { Race, Report } from './report.ts';
import { judge, type Standing } from './standing.ts';

/**
 * The wall times of all pulls as a chart (SVG): a bar for each contender, and a line where the floor is. The caption
 * has two lines.
 */
export function toChart(report: Report, caption: readonly string[]): string {
  const blocks: string[] = [];
  let top = 58;
  for (const race of report.races.filter(({ kind }) => kind === 'pull')) {
    const { drawn, height } = drawRace(race, report, top);
    blocks.push(drawn);
    top += height;
  }
  const height = top + 36;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="12">
<title>Seconds until an artifact is there</title>
<style>
  .paper { fill: #fff } text { fill: #1f2328 } .faint { fill: #59636e } .title { font-weight: 600 }
  .ours { fill: #0969da } .rival { fill: #afb8c1 } .floor { stroke: #cf222e; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } text { fill: #f0f6fc } .faint { fill: #9198a1 } .rival { fill: #656c76 }
  }
</style>
<rect class="paper" width="${width}" height="${height}" rx="6"/>
<text class="title" x="16" y="26" font-size="15">Seconds until an artifact is there</text>
<text class="faint" x="16" y="44">Each part has a scale of its own.</text>
<path class="floor" d="M ${left + 4} 34 v 12"/>
<text class="faint" x="${left + 10}" y="44">A client that only receives, hashes and writes the blobs: nobody can be much faster.</text>
${blocks.join('\n')}
${caption.map((line, at) => `<text class="faint" x="16" y="${top + 8 + at * 15}" font-size="10">${escape(line)}</text>`).join('\n')}
</svg>
`;
}

const width = 820;
const left = 210;
const longest = 520;
const barHeight = 15;

function drawRace(
  race: Race,
  report: Report,
  top: number,
): { readonly drawn: string; readonly height: number } {
  const { ours, rivals, floor } = judge(race, report.contenders);
  const bars = [ours, ...rivals];
  const scale = longest / Math.max(...bars.map(({ wall }) => wall));
  const drawn = [
    `<text class="title" x="16" y="${top + 16}">${escape(race.title)}</text>`,
    ...bars.map((standing, at) => drawBar(standing, scale, top + 24 + at * barHeight)),
    ...(floor === undefined
      ? []
      : [
          `<path class="floor" d="M ${fixed(left + floor.wall * scale)} ${top + 22} v ${bars.length * barHeight}"/>`,
        ]),
  ];
  return { drawn: drawn.join('\n'), height: 34 + bars.length * barHeight };
}

function drawBar({ entrant, wall }: Standing, scale: number, y: number): string {
  const length = wall * scale;
  return [
    `<text x="${left - 8}" y="${y + 9}" text-anchor="end">${escape(entrant.name)}</text>`,
    `<rect class="${entrant.kind}" x="${left}" y="${y}" width="${fixed(length)}" height="${barHeight - 4}" rx="2"/>`,
    `<text class="faint" x="${fixed(left + length + 6)}" y="${y + 9}">${wall.toFixed(2)}</text>`,
  ].join('');
}

function fixed(value: number): string {
  return value.toFixed(1);
}

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
