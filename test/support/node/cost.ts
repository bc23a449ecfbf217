import { cpuTime } from '../os/cpu-time.ts';
import { slowness, worstSlowness } from '../os/machine-speed.ts';

/** The milliseconds for which nothing may block the event loop. */
export const longestTurn = 50;

/** Milliseconds of CPU time, which depend neither on how busy the machine is nor, by `slowness`, on its speed. */
export type Cost = { readonly cpu: number; readonly turn: number };

/** `turn`: the CPU time of the main thread in its longest turn of the event loop. */
export async function costOf(work: () => Promise<unknown>): Promise<Cost> {
  const spent = (): number => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  };
  let turn = 0;
  let last = spent();
  const look = (): void => {
    const now = spent();
    turn = Math.max(turn, now - last);
    last = now;
  };
  const looking = setInterval(look, 1);
  const before = cpuTime();
  try {
    await work();
  } finally {
    clearInterval(looking);
  }
  look();
  const cpu = cpuTime() - before;
  return { cpu: cpu / slowness(), turn: turn < longestTurn ? turn : turn / worstSlowness() };
}
