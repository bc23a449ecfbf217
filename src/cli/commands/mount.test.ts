import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { volume } from '../../../test/support/node/samples.ts';
import { runShell } from '../../../test/support/node/shell.ts';
import type { PublishRequest, PullRequest } from '../../ports/request.ts';
import type { VolumeStatus } from '../../ports/usecases.ts';
import { ArtifactError } from '../../util/error.ts';

test('mount publishes a volume without a pod, the same for the same directory', async () => {
  const seen: PublishRequest[] = [];
  const publish = async (request: PublishRequest): Promise<VolumeStatus> => {
    seen.push(request);
    return volume;
  };
  const pulled: string[] = [];
  const pull = async ({ reference }: PullRequest) => {
    pulled.push(reference);
    return {
      reference,
      digest: volume.digest,
      manifest: volume.digest,
      view: '',
      path: '',
      bytes: 0,
      inodes: 0,
      notes: [],
    };
  };
  const around = (volumes: readonly VolumeStatus[]) => ({
    artifacts: { volumes: async () => volumes, pull },
    publishing: { publish },
  });
  const argv = ['mount', 'z:1', 'some/dir', '--sub-path', 'w'];
  const ran = await runShell(argv, around([]));
  // An artifact that is already mounted may need no registry.
  await runShell(argv, around([{ ...volume, anywhere: true, targetPath: join(process.cwd(), 'some/dir') }]));
  await runShell(['mount', 'z:2', 'some/dir'], around([]));
  assert.deepEqual(pulled, ['z:1', 'z:2']);
  assert.match(ran.stdout, /^registry\.example\/z:1@sha256:\S+ at \S+\/some\/dir, 1\.0 MiB, read-only$/m);
  const [first, again, another] = seen;
  assert.equal(first?.targetPath, join(process.cwd(), 'some/dir'));
  assert.equal(first?.anywhere, true);
  assert.deepEqual(first, again);
  assert.equal(first?.volumeId, another?.volumeId);
  assert.notEqual(first?.fingerprint, another?.fingerprint);
});

test('a directory that cannot be mounted on is refused before anything is downloaded', async () => {
  const ended = Promise.withResolvers<void>();
  const pull = async (_request: unknown, _update: unknown, signal: AbortSignal): Promise<never> => {
    await once(signal, 'abort');
    ended.resolve();
    throw signal.reason;
  };
  const publish = async (): Promise<never> => {
    throw new ArtifactError('invalid', 'cannot mount at /proc/x');
  };
  const artifacts = { volumes: async () => [], pull };
  const ran = await runShell(['mount', 'z:1', '/proc/x'], { artifacts, publishing: { publish } });
  await ended.promise;
  assert.equal(ran.code, 2);
  assert.match(ran.stderr, /: cannot mount at \/proc\/x\n$/);
});

test('unmount takes away a volume of the command line, and refuses the volume of a pod', async () => {
  const own = { ...volume, anywhere: true, targetPath: '/mnt/a', volumeId: 'mount-1' };
  const gone: unknown[] = [];
  const around = {
    artifacts: { volumes: async () => [volume, own] },
    publishing: { unpublish: async (target: unknown) => void gone.push(target) },
  };
  assert.equal((await runShell(['unmount', '/mnt/a/'], around)).stdout, 'unmounted /mnt/a\n');
  assert.deepEqual(gone, [{ path: '/mnt/a', anywhere: true }]);
  const refused = await runShell(['unmount', '/pods/u/mount'], around);
  assert.equal(refused.code, 5);
  assert.match(refused.stderr, /a volume of the pod ml\/web-0; delete the pod/);
  assert.equal((await runShell(['unmount', '/elsewhere'], around)).code, 3);
  assert.equal(gone.length, 1);
});
