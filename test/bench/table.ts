import type { Figure, Report } from './report.ts';
import { judge, type Standing } from './standing.ts';

/** The report as text: a block for each race, and a line for each figure. */
export function toTable(report: Report): string {
  const races = report.races.map(race => {
    const { ours, rivals, floors, wall, cpu } = judge(race, report.contenders);
    const lines = [ours, ...rivals, ...floors].map(formatStanding);
    const ratio = `to ${rivals[0]?.entrant.name}: wall ${wall.median.toFixed(2)} (${wall.least.toFixed(2)} to ${wall.most.toFixed(2)}), cpu ${cpu.median.toFixed(2)}`;
    return [`${race.title} (${race.name}), ${ratio}`, ...lines, ''].join('\n');
  });
  const head =
    '                             wall s  on disk s  cpu s  registry cpu s  peak MB  (medians; the greatest peak)\n';
  return [races.length > 0 ? head : '', ...races, ...report.figures.map(formatFigure)].join('\n');
}

function formatStanding({ entrant, wall, durable, cpu, registry, peak }: Standing): string {
  const name = entrant.kind === 'floor' ? `(${entrant.name})` : entrant.name;
  return [
    `  ${name.padEnd(26)}`,
    wall.toFixed(2).padStart(6),
    durable.toFixed(2).padStart(10),
    cpu.toFixed(2).padStart(6),
    registry.toFixed(2).padStart(15),
    peak.toFixed(0).padStart(8),
  ].join(' ');
}

function formatFigure({ row, what, value, unit, floor }: Figure): string {
  const beside = floor === undefined ? '' : ` (${floor.what}: ${formatValue(floor.value, unit)})`;
  return `${row}: ${what}: ${formatValue(value, unit)}${beside}`;
}

export function formatValue(value: number, unit: string): string {
  return `${value.toFixed(unit === 'ms' || unit === 's' ? 2 : 0)} ${unit}`.trim();
}
