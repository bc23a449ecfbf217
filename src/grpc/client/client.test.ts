import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http2';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openRemote } from '../../../test/support/node/remote.ts';
import {
  at,
  detail,
  digest,
  nodeStatus,
  other,
  pulled,
  pullsUnderWay,
  request,
  resolved,
  volume,
} from '../../../test/support/node/samples.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import type { PublishRequest } from '../../ports/request.ts';
import type { Progress } from '../../ports/usecases.ts';
import { ArtifactError, type ErrorCode } from '../../util/error.ts';
import { connectRemote } from './client.ts';

const never = new AbortController().signal;

test('what a daemon answers arrives as if it had been asked in this process', async () => {
  const steps: readonly Progress[] = (['resolve', 'download', 'unpack', 'build', 'done'] as const).map(
    (phase, bytes) => ({
      phase,
      bytes,
      totalBytes: 2 ** 41,
      layers: 1,
      totalLayers: 2,
      bytesPerSecond: 2 ** 33,
    }),
  );
  const { pod: _, ...podless } = volume;
  const summary = {
    reference: 'z:1',
    digest: other,
    artifactType: 't',
    bytes: 5,
    usedAt: 6,
    verifiedAt: 8,
    pinned: true,
    volumes: 7,
  };
  const asker = { secrets: { username: 'me' }, pod: { namespace: 'ml', name: 'web-0' } };
  const explained = [{ endpoint: 'r.io/z', sources: ['a: used', 'b: none'] }];
  const items = [
    { reference: 'r.io/z:1', digest, bytes: 2 ** 40 },
    { digest: other, bytes: 0 },
  ];
  const pruned = { artifacts: 3, bytes: 2 ** 40, items };
  const removed = { reference: 'r.io/z:1', digest: other, artifacts: 1, bytes: 2, keptBy: ['r.io/z:2'] };
  const asked: unknown[] = [];
  await using remote = await openRemote({
    artifacts: {
      resolve: async (...told) => {
        asked.push(told.slice(0, 2));
        return resolved;
      },
      pull: async (told, onProgress) => {
        asked.push(told);
        for (const step of steps) onProgress(step);
        return pulled;
      },
      status: async () => nodeStatus,
      pulls: async () => pullsUnderWay,
      cancel: async told => asked.push(told),
      list: async () => [summary],
      inspect: async told => {
        asked.push(told);
        return detail;
      },
      explain: async (...told) => {
        asked.push(told.slice(0, 2));
        return explained;
      },
      remove: async () => removed,
      prune: async () => pruned,
      previewPrune: async () => ({ ...pruned, artifacts: 4 }),
      pin: async () => other,
      unpin: async told => void asked.push(told),
      volumes: async () => [volume, { ...podless, mounted: false }],
      fsck: async (repair, onFinding, _, onProgress) => {
        onProgress?.({ bytes: 5, totalBytes: 10 });
        await onFinding({
          path: 'p',
          problem: 'q',
          artifacts: ['r.example/m:1'],
          keptBy: ['ns/pod'],
          repaired: repair,
        });
        return { checked: 8 };
      },
    },
  });
  const { artifacts } = remote;
  assert.deepEqual(await artifacts.resolve('z:1', { username: 'me' }, never), resolved);
  const seen: Progress[] = [];
  assert.deepEqual(await artifacts.pull(request, step => seen.push(step), never), pulled);
  assert.deepEqual(seen, steps);
  assert.deepEqual(await artifacts.status(), nodeStatus);
  assert.deepEqual(await artifacts.pulls(), pullsUnderWay);
  assert.equal(await artifacts.cancel('z:3'), 3);
  assert.deepEqual(await artifacts.list(), [summary]);
  assert.deepEqual(await artifacts.inspect('z:1'), detail);
  assert.deepEqual(await artifacts.explain('z:1', asker, never), explained);
  assert.deepEqual(await artifacts.explain('z:1', { secrets: {} }, never), explained);
  assert.deepEqual(await artifacts.remove('z:1'), removed);
  assert.deepEqual(await artifacts.prune(never), pruned);
  assert.deepEqual(await artifacts.previewPrune(never), { ...pruned, artifacts: 4 });
  assert.equal(await artifacts.pin('z:1'), other);
  await artifacts.unpin('z:2');
  assert.deepEqual(await artifacts.volumes(), [volume, { ...podless, mounted: false }]);
  const findings: unknown[] = [];
  const watch = (found: unknown): void => void findings.push(found);
  assert.deepEqual(await artifacts.fsck(true, watch, never, watch), { checked: 8 });
  assert.deepEqual(findings, [
    { bytes: 5, totalBytes: 10 },
    { path: 'p', problem: 'q', artifacts: ['r.example/m:1'], keptBy: ['ns/pod'], repaired: true },
  ]);
  assert.deepEqual(asked, [
    ['z:1', { username: 'me' }],
    request,
    'z:3',
    'z:1',
    ['z:1', asker],
    ['z:1', { secrets: {} }],
    'z:2',
  ]);
});

test('the smallest request and answer arrive as they are, too', async () => {
  const small = {
    reference: 'z',
    selection: { unpack: 'auto', include: [], exclude: [] },
    secrets: {},
    caller: 'administrator',
  } as const;
  const plain = { ...resolved, descriptor: { mediaType: 'm', digest, size: 0, annotations: {} } };
  let asked: unknown;
  await using remote = await openRemote({
    artifacts: {
      pull: async told => {
        asked = told;
        return pulled;
      },
      resolve: async () => plain,
    },
  });
  await remote.artifacts.pull(small, () => {}, never);
  assert.deepEqual(asked, small);
  assert.deepEqual(await remote.artifacts.resolve('z', {}, never), plain);
});

test('an error of the daemon keeps its code and its message', async () => {
  const codes: readonly ErrorCode[] = [
    'invalid',
    'exists',
    'not-found',
    'unauthenticated',
    'denied',
    'unmountable',
    'corrupt',
    'unavailable',
    'busy',
    'cancelled',
    'exhausted',
    'unimplemented',
    'internal',
  ];
  let code: ErrorCode = 'internal';
  const fail = async (): Promise<never> => {
    throw new ArtifactError(code, `${code}: ü, try that`);
  };
  await using remote = await openRemote({ artifacts: { list: fail, fsck: fail } });
  for (code of codes) {
    const wanted = { name: 'ArtifactError', code, message: `${code}: ü, try that` };
    await assert.rejects(remote.artifacts.list(), wanted);
    await assert.rejects(
      remote.artifacts.fsck(false, () => {}, never),
      wanted,
    );
  }
});

test('a caller that leaves ends the call at the daemon', async () => {
  const ended = Promise.withResolvers<void>();
  const wait = async (signal: AbortSignal): Promise<never> => {
    await sleep(60_000, undefined, { signal }).catch(() => {});
    ended.resolve();
    throw new ArtifactError('cancelled', 'the caller went away');
  };
  await using remote = await openRemote({
    artifacts: {
      pull: (_, onProgress, signal) => {
        onProgress(at('resolve', 0));
        return wait(signal);
      },
    },
  });
  const leaving = new AbortController();
  const pull = remote.artifacts.pull(request, () => leaving.abort(), leaving.signal);
  await assert.rejects(pull, { code: 'cancelled' });
  await ended.promise;
});

test('a call that ends before it begins, or whose messages cannot be used, fails with that reason', async () => {
  let pulls = 0;
  await using remote = await openRemote({
    artifacts: {
      pull: async (_, onProgress, signal) => {
        pulls++;
        onProgress(at('resolve', 0));
        await sleep(60_000, undefined, { signal }).catch(() => {});
        throw new ArtifactError('cancelled', 'the caller went away');
      },
    },
  });
  const reason = new ArtifactError('cancelled', 'interrupted');
  const pull = remote.artifacts.pull(request, () => {}, AbortSignal.abort(reason));
  await assert.rejects(pull, reason);
  assert.equal(pulls, 0);
  const unusable = new Error('the terminal is gone');
  const failing = remote.artifacts.pull(
    request,
    () => {
      throw unusable;
    },
    never,
  );
  await assert.rejects(failing, unusable);
  // An error without a listener would end the test now.
  await sleep(50);
  assert.equal(pulls, 1);
});

test('a volume of the command line is mounted and unmounted by its directory', async () => {
  const requests: PublishRequest[] = [];
  const gone: unknown[] = [];
  const own = { ...volume, anywhere: true, targetPath: '/mnt/a', volumeId: 'mount-1' };
  await using remote = await openRemote({
    artifacts: { volumes: async () => [own] },
    publishing: {
      publish: async told => {
        requests.push(told);
        return own;
      },
      unpublish: async target => void gone.push(target),
    },
  });
  const published = await remote.publishing.publish(
    { ...request, targetPath: '/mnt/a', volumeId: '', anywhere: true, mountFlags: [], fingerprint: '' },
    never,
  );
  assert.deepEqual(published, own);
  assert.equal(requests[0]?.anywhere, true);
  assert.deepEqual(requests[0]?.selection, request.selection);
  await remote.publishing.unpublish({ path: '/mnt/a', anywhere: true }, never);
  assert.deepEqual(gone, [{ path: '/mnt/a', anywhere: true }]);
});

test('a layout is loaded byte for byte, however it is cut', async () => {
  const taken: Buffer[] = [];
  const references: unknown[] = [];
  await using remote = await openRemote({
    artifacts: {
      load: async (tar, reference) => {
        references.push(reference);
        taken.push(Buffer.concat(await Array.fromAsync(tar)));
        return [resolved];
      },
    },
  });
  const bytes = randomBytes(5 * 2 ** 20 + 7);
  async function* cut(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, 10);
    yield bytes.subarray(10, 10);
    yield bytes.subarray(10);
  }
  assert.deepEqual(await remote.artifacts.load(cut(), 'registry.example/z:1', never), [resolved]);
  await remote.artifacts.load(cut(), undefined, never);
  assert.deepEqual(references, ['registry.example/z:1', undefined]);
  for (const whole of taken) assert.ok(whole.equals(bytes));
});

test('a layout that cannot be read fails as itself, and one that is refused is read no further', async () => {
  let refuse = false;
  await using remote = await openRemote({
    artifacts: {
      load: async tar => {
        for await (const _ of tar) {
          if (refuse) throw new ArtifactError('unmountable', 'blobs/x is not what its name says');
        }
        return [];
      },
    },
  });
  let closed = Promise.withResolvers<void>();
  async function* endless(fails: boolean): AsyncGenerator<Uint8Array> {
    try {
      for (let n = 0; ; n++) {
        if (fails && n === 3) throw new Error('EIO: the disk of the layout');
        yield new Uint8Array(1 << 20);
      }
    } finally {
      closed.resolve();
    }
  }
  await assert.rejects(remote.artifacts.load(endless(true), undefined, never), /EIO: the disk of the layout/);
  refuse = true;
  closed = Promise.withResolvers<void>();
  await assert.rejects(remote.artifacts.load(endless(false), undefined, never), { code: 'unmountable' });
  await closed.promise;
});

test('a socket without a server is unavailable', async () => {
  await using directory = await temporaryDirectory();
  const remote = connectRemote(join(directory.path, 'none.sock'));
  await assert.rejects(remote.artifacts.list(), { code: 'unavailable' });
  await remote.close();
});

test('a daemon that takes a short question and does not answer is unavailable', async () => {
  await using directory = await temporaryDirectory();
  const socket = join(directory.path, 'csi.sock');
  const server = createServer().listen(socket);
  await once(server, 'listening');
  const remote = connectRemote(socket, 100);
  const { artifacts } = remote;
  const error = {
    code: 'unavailable',
    message: `the daemon at unix://${socket} does not answer; its log may say why`,
  };
  try {
    await assert.rejects(artifacts.list(), error);
    await assert.rejects(artifacts.inspect('z'), error);
    await assert.rejects(artifacts.volumes(), error);
    await assert.rejects(artifacts.pin('z'), error);
    await assert.rejects(artifacts.unpin('z'), error);
  } finally {
    await remote.close();
    server.close();
  }
});
