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
  readonly goals: readonly Goal[];
};

/** A bar of a race, and what it was met by: the ratio, or at most `nearFloor` times what the floor that does most needs. */
export type Goal = {
  readonly what: 'wall' | 'cpu';
  readonly bar: number;
  readonly ratio: number;
  readonly metBy: 'ratio' | 'floor' | undefined;
};

/** The share of the floor that meets a bar which the floor shows to be out of reach. */
export const nearFloor = 1.15;

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
  const toGoal = (what: Goal['what'], { median: ratio }: Ratio): readonly Goal[] => {
    const bar = race.bar?.[what];
    if (bar === undefined) return [];
    const isNear = floor !== undefined && ours[what] <= nearFloor * floor[what];
    return [{ what, bar, ratio, metBy: ratio <= bar ? 'ratio' : isNear ? 'floor' : undefined }];
  };
  const goals = [...toGoal('wall', wall), ...toGoal('cpu', cpu)];
  return { ours, rivals: of('rival'), floors: of('floor'), floor, wall, cpu, goals };

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
