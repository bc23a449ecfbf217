import type { Entrant, Race } from './report.ts';

/** What a contender needed in one race: medians of its runs, and its greatest peak. */
export type Standing = {
  readonly entrant: Entrant;
  readonly wall: number;
  readonly durable: number;
  readonly cpu: number;
  readonly registry: number;
  readonly peak: number;
};

/** The ratio to the fastest rival: medians of the ratios of each turn, and their range. */
export type Ratio = { readonly median: number; readonly least: number; readonly most: number };

export type Verdict = {
  readonly ours: Standing;
  /** The fastest first. */
  readonly rivals: readonly Standing[];
  readonly floors: readonly Standing[];
  /** The floor that does most. */
  readonly floor: Standing | undefined;
  readonly wall: Ratio;
  readonly cpu: Ratio;
  /** What was missed: a bar is also met by what needs at most 1.15 times as much as the floor that does the same. */
  readonly missed: readonly string[];
};

/** Compares in one race. @throws if the driver or every rival is missing in it. */
export function judge(race: Race, entrants: readonly Entrant[]): Verdict {
  const standings = entrants
    .filter(({ name }) => race.runs.some(run => run.contender === name))
    .map(entrant => toStanding(race, entrant))
    .toSorted((a, b) => a.wall - b.wall);
  const of = (kind: Entrant['kind']) => standings.filter(({ entrant }) => entrant.kind === kind);
  const [ours] = of('ours');
  const [fastest] = of('rival');
  if (ours === undefined || fastest === undefined) throw new Error(`${race.name} has nobody to compare`);
  const [wall, cpu] = [ratioOf(race, 'wall', fastest), ratioOf(race, 'cpu', fastest)];
  const floor = of('floor').find(({ entrant }) => entrant.makes !== 'nothing');
  const misses = (what: 'wall' | 'cpu', ratio: Ratio, bar: number | undefined): readonly string[] =>
    bar === undefined || ratio.median <= bar || (floor !== undefined && ours[what] <= 1.15 * floor[what])
      ? []
      : [`${race.name}: ${what} is ${ratio.median.toFixed(2)} of ${fastest.entrant.name}, more than ${bar}`];
  const missed = [...misses('wall', wall, race.bar?.wall), ...misses('cpu', cpu, race.bar?.cpu)];
  return { ours, rivals: of('rival'), floors: of('floor'), floor, wall, cpu, missed };

  function ratioOf(of: Race, what: 'wall' | 'cpu', rival: Standing): Ratio {
    const ratios = of.runs
      .filter(({ contender }) => contender === ours?.entrant.name)
      .flatMap(mine => {
        const theirs = of.runs.find(run => run.turn === mine.turn && run.contender === rival.entrant.name);
        return theirs === undefined ? [] : mine[what] / theirs[what];
      });
    return { median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) };
  }
}

function toStanding(race: Race, entrant: Entrant): Standing {
  const runs = race.runs.filter(({ contender }) => contender === entrant.name);
  const middle = (what: 'wall' | 'durable' | 'cpu' | 'registry') => median(runs.map(run => run[what]));
  return {
    entrant,
    wall: middle('wall'),
    durable: middle('durable'),
    cpu: middle('cpu'),
    registry: middle('registry'),
    peak: Math.max(...runs.map(({ peak }) => peak)),
  };
}

function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
