import { cpuTime } from '../os/cpu-time.ts';

/** Milliseconds for which nothing may keep the event loop from its next turn. */
export const longestTurn = 50;

/** Milliseconds of processor time: how busy the machine is does not matter. */
export type Cost = { readonly cpu: number; readonly turn: number };

/** `turn`: of the main thread's time, the most between two turns of the event loop. */
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
