import { describeRun } from './document.ts';
import type { Figure, Report } from './report.ts';
import { judge } from './standing.ts';

/**
 * The README with the figures of a report: the text between `<!-- bench: name -->` and `<!-- /bench -->` is written.
 *
 * @throws if a place has no text, or a text has no place.
 */
export function withFigures(readme: string, report: Report): string {
  const left = new Map(Object.entries(textsOf(report)));
  const written = readme.replaceAll(places, (_, open: string, name: string, __: string, close: string) => {
    const text = left.get(name);
    if (text === undefined) throw new Error(`nothing is measured for ${name}, or it has two places`);
    left.delete(name);
    return `${open}${text}${close}`;
  });
  if (left.size > 0) throw new Error(`there is no place for ${[...left.keys()].join(', ')}`);
  return written;
}

/** A comment at the start of a paragraph is on a line of its own. */
const places = /(<!-- bench: (\w+) -->\n?)([^]*?)(<!-- \/bench -->)/g;

function textsOf(report: Report): Readonly<Record<string, string>> {
  const verdicts = new Map(report.races.map(race => [race.name, judge(race, report.contenders)]));
  const first = verdicts.get('1x1GiB');
  const pulls = report.races
    .filter(({ kind }) => kind === 'pull')
    .flatMap(({ name }) => verdicts.get(name) ?? []);
  const fastest = pulls.filter(({ wall }) => wall.median <= 1);
  const peak = Math.max(...[...verdicts.values()].map(({ ours }) => ours.peak));
  const rival = first?.rivals[0];
  const shared = (what: string): string => figureOf(report, 'shared', what).toFixed(0);
  return {
    fast: `A pod gets an artifact that is in the cache in ${figureOf(report, 'cached', 'a publish, median').toFixed(1)} ms (median), with one mount and no blob read. The first pull of 1 GiB takes ${first?.ours.wall.toFixed(1)} s, and \`${rival?.entrant.name}\` takes ${rival?.wall.toFixed(1)} s. Of ${pulls.length} measured pulls, it is the fastest in ${fastest.length}; [the page](docs/performance.md) has all.`,
    shared: `Ten pods with one artifact of 256 MB: ${shared('ten pods with 256 MB: downloaded')} MB downloaded, ${shared('ten pods with 256 MB: on the disk')} MB on the disk, one copy in the page cache. The next version, half of it changed: ${shared('the next version')} MB downloaded.`,
    resumed: `The daemon killed at half of 256 MB, and started again: ${shared('the daemon killed')} MB downloaded in all.`,
    small: `The daemon has ${figureOf(report, 'idle', 'memory after').toFixed(0)} MB of memory at rest, and at most ${peak.toFixed(0)} MB in any pull that is measured.`,
    run: `![The wall times of pulls, by this driver and by other programs](docs/performance.svg)

${describeRun(report)} [docs/performance.md](docs/performance.md) has all figures: who takes part, who waits for the disk, CPU time, memory, and what nobody can be faster than. \`npm run bench\` measures your machine.`,
  };
}

function figureOf({ figures }: Report, row: string, what: string): number {
  return (
    figures.find((figure: Figure) => figure.row === row && figure.what.startsWith(what))?.value ?? Number.NaN
  );
}
