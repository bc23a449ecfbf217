import { cpuTime } from '../os/cpu-time.ts';

/** The milliseconds for which nothing may block the event loop. */
export const longestTurn = 50;

/** Milliseconds of CPU time, which do not depend on how busy the machine is. */
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
  return { cpu: cpuTime() - before, turn };
}
