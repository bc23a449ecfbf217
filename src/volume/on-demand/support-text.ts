import type { LateSummary } from '../../ports/on-demand.ts';

/** Whether this node loads on demand, and if not, why. */
export function formatOnDemand({ support, holder }: Pick<LateSummary, 'support' | 'holder'>): string {
  const texts = {
    untried: 'not tried yet: the daemon tries it for the first volume that asks for it',
    on: 'on',
  };
  const text =
    support.kind === 'off'
      ? `off (${support.reason}); volumes are loaded before they are mounted`
      : texts[support.kind];
  const isHeld = holder !== undefined && holder.problem === undefined;
  return `loading on demand: ${text}${isHeld ? '; reads wait while no daemon runs' : ''}`;
}
