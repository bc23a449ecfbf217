import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { VolumeCondition__Output } from '../../../src/grpc/wire/csi/v1/VolumeCondition.ts';
import type { Loading__Output } from '../../../src/grpc/wire/ociartifact/v1/Loading.ts';
import { publishRequest, type TestDaemon } from '../node/daemon.ts';

/** How far a volume is that is loaded on demand; undefined for another one. */
export async function loadingOf(
  { artifacts }: Pick<TestDaemon, 'artifacts'>,
  target: string,
): Promise<Loading__Output | undefined> {
  const { volumes } = await artifacts.ListVolumes({});
  return volumes.find(({ target_path }) => target_path === target)?.loading ?? undefined;
}

/** Whether all of such a volume is here. */
export async function isLoaded(daemon: Pick<TestDaemon, 'artifacts'>, target: string): Promise<boolean> {
  const loading = await loadingOf(daemon, target);
  return loading !== undefined && loading.total_bytes > 0 && loading.bytes === loading.total_bytes;
}

type LateRequest = Awaited<ReturnType<typeof publishRequest>>;

/** Publishes a volume of a new pod on demand. */
export async function publishLate(
  daemon: Pick<TestDaemon, 'node' | 'csi'>,
  reference: string,
  attributes: Readonly<Record<string, string>> = {},
): Promise<LateRequest> {
  const request = await publishRequest(daemon.node, { reference, loading: 'onDemand', ...attributes });
  await daemon.csi.NodePublishVolume(request);
  return request;
}

/** What kubelet would tell of a volume. */
export async function conditionOf(
  { csi }: Pick<TestDaemon, 'csi'>,
  { volume_id, target_path }: Pick<LateRequest, 'volume_id' | 'target_path'>,
): Promise<VolumeCondition__Output> {
  const { volume_condition } = await csi.NodeGetVolumeStats({ volume_id, volume_path: target_path });
  return volume_condition ?? assert.fail('it has no condition');
}

export async function until(what: string, is: () => Promise<boolean> | boolean): Promise<void> {
  const end = Date.now() + 40_000;
  while (!(await is())) {
    assert.ok(Date.now() < end, what);
    await sleep(50);
  }
}

/** What a process found that compared a file with a right copy; `failed`: it got an error, such as EIO. */
export type Compared = 'right' | 'wrong' | 'failed' | 'killed';

/** Compares in a process of its own, which is killed after so long: a read may wait. */
export function compareFile(path: string, copy: string, withinMs = 30_000): Promise<Compared> {
  return new Promise(resolve => {
    const options = { timeout: Math.round(withinMs), killSignal: 'SIGKILL' } as const;
    execFile('cmp', ['--silent', path, copy], options, error => {
      if (error === null) resolve('right');
      else if (error.killed === true) resolve('killed');
      else resolve(error.code === 1 ? 'wrong' : 'failed');
    });
  });
}

/** Readers that compare a file again and again. Disposing ends them. */
export type Watch = AsyncDisposable & {
  /** Ends them, and returns what they found. */
  stop(): Promise<ReadonlySet<Compared>>;
};

/** Compares with so many processes, of which each is killed after a random time. */
export function watchFile(path: string, copy: string, readers = 2): Watch {
  const found = new Set<Compared>();
  const ending = new AbortController();
  const read = async (): Promise<void> => {
    while (!ending.signal.aborted) found.add(await compareFile(path, copy, 100 + Math.random() * 1_000));
  };
  const reading = Promise.all(Array.from({ length: readers }, read));
  const stop = async (): Promise<ReadonlySet<Compared>> => {
    ending.abort();
    await reading;
    return found;
  };
  return { stop, [Symbol.asyncDispose]: async () => void (await stop()) };
}
