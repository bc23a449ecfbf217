import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { at, digest, pulled } from '../../../test/support/node/samples.ts';
import { runShell } from '../../../test/support/node/shell.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import type { PullRequest } from '../../ports/request.ts';
import type { Artifacts, Pulled } from '../../ports/usecases.ts';
import { ArtifactError } from '../../util/error.ts';
import { interruption } from '../terminal.ts';

test('pull takes every flag of a selection, and tells its progress in lines where there is no terminal', async () => {
  let seen: PullRequest | undefined;
  const ran = await runShell(
    'pull z:1 --pull-policy Never --unpack never --sub-path a/b --include *.json,w/** --exclude *.bin --platform linux/arm/v7'.split(
      ' ',
    ),
    {
      artifacts: {
        pull: async (request, update) => {
          seen = request;
          for (const step of [at('resolve', 0), at('download', 3), at('download', 9)]) update(step);
          for (const step of [at('download', 43), at('download', 100), at('done', 100)]) update(step);
          return pulled;
        },
      },
    },
  );
  assert.deepEqual(seen, {
    reference: 'z:1',
    pullPolicy: 'Never',
    platform: { os: 'linux', architecture: 'arm', variant: 'v7' },
    selection: { unpack: 'never', include: ['*.json', 'w/**'], exclude: ['*.bin'], subPath: 'a/b' },
    secrets: {},
    caller: 'administrator',
  });
  assert.deepEqual(ran.stderr.trimEnd().split('\n').slice(1), [
    'resolve',
    'download 3 % (3 B of 100 B, 0 of 2 layers)',
    'download 43 % (43 B of 100 B, 0 of 2 layers)',
    'download 100 % (100 B of 100 B, 0 of 2 layers)',
    'done 100 % (100 B of 100 B, 0 of 2 layers)',
  ]);
  assert.equal(
    ran.stdout,
    `registry.example/z:1@${digest}\n1.0 TiB, 2 files and directories\nnote: ${pulled.notes[0]}\n`,
  );
});

test('pull without flags asks for the defaults of a volume', async () => {
  let seen: PullRequest | undefined;
  const pull = async (request: PullRequest): Promise<Pulled> => {
    seen = request;
    return pulled;
  };
  await runShell(['pull', 'z'], { artifacts: { pull } });
  const selection = { unpack: 'auto', include: [], exclude: [] };
  assert.deepEqual(seen, { reference: 'z', selection, secrets: {}, caller: 'administrator' });
});

test('pull in JSON is one document on stdout, and nothing else', async () => {
  const artifacts: Partial<Artifacts> = {
    pull: async (_, update) => {
      update(at('download', 3));
      return pulled;
    },
  };
  const ran = await runShell(['pull', 'z:1', '--output', 'json'], { artifacts });
  assert.deepEqual(ran.json, pulled);
  assert.equal(ran.stderr, '');
  const quiet = await runShell(['pull', 'z:1', '-q'], { artifacts });
  assert.deepEqual([quiet.stdout, quiet.stderr], [`registry.example/z:1@${digest}\n`, '']);
});

test('a reference with a digest is answered with that digest once', async () => {
  const reference = `registry.example/z@${digest}`;
  const pull = async (): Promise<Pulled> => ({ ...pulled, reference });
  const { stdout } = await runShell(['pull', reference], { artifacts: { pull } });
  assert.ok(stdout.startsWith(`${reference}\n`), stdout);
});

test('an interrupted pull says that the same command continues, and exits 130', async () => {
  const controller = new AbortController();
  const ran = await runShell(['pull', 'z:1'], {
    signal: controller.signal,
    artifacts: {
      pull: async (_request, update, signal) => {
        update({ phase: 'download', bytes: 5, totalBytes: 9, layers: 0, totalLayers: 1, bytesPerSecond: 0 });
        controller.abort(interruption());
        signal.throwIfAborted();
        return pulled;
      },
    },
  });
  assert.equal(ran.code, 130);
  assert.match(ran.stderr, /interrupted; .*z:1 is kept, and the same command continues from there/);
});

test('a pull that failed after some bytes says that they are kept', async () => {
  const failing = (bytes: number) => ({
    pull: async (...[, update]: Parameters<Artifacts['pull']>): Promise<never> => {
      update({ phase: 'download', bytes, totalBytes: 9, layers: 0, totalLayers: 1, bytesPerSecond: 0 });
      throw new ArtifactError('unavailable', 'r.io cannot be reached; check that host');
    },
  });
  const some = await runShell(['pull', 'z:1'], { artifacts: failing(5) });
  assert.match(some.stderr, /check that host; what was downloaded of z:1 is kept, and the same command/);
  const none = await runShell(['pull', 'z:1'], { artifacts: failing(0) });
  assert.match(none.stderr, /check that host$/m);
});

test('a password comes from the input, an auth file from its path, under the keys of a pull secret', async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'auth.json');
  await writeFile(file, '{"auths":{}}');
  const seen: object[] = [];
  const resolve = async (_: string, secrets: Readonly<Record<string, string>>): Promise<never> => {
    seen.push(secrets);
    const descriptor = { digest, mediaType: 'm', size: 1, annotations: {} };
    return { reference: 'registry.example/z:1', descriptor, cached: true } as never;
  };
  const ran = await runShell(['resolve', 'z:1', '--username', 'me', '--password-stdin'], {
    stdin: ['pass ', 'word\n'],
    artifacts: { resolve },
  });
  assert.match(ran.stdout, new RegExp(`^digest: +${digest}$`, 'm'));
  await runShell(['resolve', 'z:1', '--auth-file', file], { artifacts: { resolve } });
  assert.deepEqual(seen, [
    { username: 'me', password: 'pass word' },
    { '.dockerconfigjson': '{"auths":{}}' },
  ]);
  const absent = await runShell(['resolve', 'z:1', '--auth-file', `${file}x`], { artifacts: { resolve } });
  assert.equal(absent.code, 2);
  assert.match(absent.stderr, /--auth-file: .*auth\.jsonx does not exist$/m);
  const empty = await runShell(['resolve', 'z:1', '--username', 'me', '--password-stdin']);
  assert.match(empty.stderr, /no password on the input/);
});
