import type { Report } from './report.ts';
import { judge } from './standing.ts';
import { formatValue } from './table.ts';

/** The most memory that a daemon may have, in MB. */
const peakAllowed = 150;

/** What the driver may not exceed and did. `times`: whether the bars of wall and CPU time count. */
export function findMisses({ races, contenders, figures }: Report, times: boolean): readonly string[] {
  const verdicts = races.map(race => ({ name: race.name, ...judge(race, contenders) }));
  return [
    ...verdicts.flatMap(({ name, goals, rivals: [fastest] }) =>
      goals
        .filter(({ metBy }) => times && metBy === undefined)
        .map(
          ({ what, bar, ratio }) =>
            `${name}: ${what} is ${ratio.toFixed(2)} of ${fastest?.entrant.name}, more than ${bar}`,
        ),
    ),
    ...verdicts
      .filter(({ ours }) => ours.peak > peakAllowed)
      .map(({ name, ours }) => `${name}: ${ours.peak.toFixed(0)} MB of memory, more than ${peakAllowed} MB`),
    ...figures.flatMap(({ row, what, value, unit, most }) =>
      most === undefined || value <= most || (isTime(unit) && !times)
        ? []
        : [`${row}: ${what}: ${formatValue(value, unit)}, more than ${formatValue(most, unit)}`],
    ),
  ];
}

function isTime(unit: string): boolean {
  return unit === 'ms' || unit === 's';
}
