import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { runProgram } from '../os/program.ts';
import { type Counts, openLateVolume } from './volume.ts';

type Strain = {
  readonly readers: number;
  readonly milliseconds: number;
  readonly isDirect: boolean;
  /** How often a reader is killed; one that has not yet started has read nothing. */
  readonly killEveryMs?: number;
  /** Called now and then. */
  readonly disturb?: () => void;
};

/** What readers found, how many were killed, and how many reads of missing bytes the server got and refused. */
export type Strained = Counts & { readonly killed: number; readonly asked: number; readonly refused: number };

const chunkSize = 2 ** 17;
const chunks = 512;

/**
 * Reads a volume at random places in several processes while its bytes come, one of 5 reads of missing bytes is
 * refused, and readers are killed. In the last quarter the server is killed, too, and the rest comes without it. At the
 * end the volume is unmounted, which nothing may prevent.
 */
export async function strain(of: Strain): Promise<Strained> {
  const { readers, milliseconds, isDirect, killEveryMs = 500, disturb } = of;
  const shape = { size: chunks * chunkSize - 777, chunkSize, isDirect };
  await using volume = await openLateVolume(shape);
  await volume.tell({ kind: 'policy', policy: { kind: 'arrive', delayMs: 8, refusedShare: 0.2 } });
  const until = Date.now() + milliseconds;
  const total = { right: 0, failed: 0, wrong: [] as string[], killed: 0, asked: 0, refused: 0 };
  const living = new Set<ChildProcess>();
  let killedAt = Date.now();
  const read = async (): Promise<void> => {
    for (let left = milliseconds; left > 0; left = until - Date.now()) {
      const { process, found } = volume.lookOften(left, Math.random() * 2 ** 31);
      living.add(process);
      const counts = await found;
      living.delete(process);
      if (process.signalCode !== null) total.killed++;
      total.right += counts?.right ?? 0;
      total.failed += counts?.failed ?? 0;
      total.wrong.push(...(counts?.wrong ?? []));
    }
  };
  const reading = Promise.all(Array.from({ length: readers }, read));
  while (until - Date.now() > milliseconds / 4) {
    await sleep(150);
    disturb?.();
    if (Date.now() - killedAt > killEveryMs) {
      [...living][Math.floor(Math.random() * living.size)]?.kill('SIGKILL');
      killedAt = Date.now();
    }
    await volume.tell({ kind: 'arrive', chunks: [Math.floor(Math.random() * chunks)] });
  }
  const state = await volume.tell({ kind: 'state' });
  total.asked = state.reads;
  total.refused = state.refused;
  volume.server.kill('SIGKILL');
  await sleep(milliseconds / 10);
  await volume.heal();
  await reading;
  runProgram('umount', volume.mount);
  return total;
}
