import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openStage } from '../../src/cli/demo/stage.ts';
import type { Backend } from '../../src/ports/backend.ts';
import type { FailingVolume } from '../../src/ports/failing-volume.ts';
import type { NodeStatus } from '../../src/ports/node-status.ts';
import type { PrefetchStatus } from '../../src/ports/prefetch.ts';
import type {
  ArtifactDetail,
  ArtifactSummary,
  EndpointCredentials,
  Finding,
  Pruned,
  Pulled,
  PullStatus,
  Removed,
  Resolved,
  VolumeStatus,
} from '../../src/ports/usecases.ts';
import { at, detail, digest, nodeStatus, pulled, resolved, volume } from '../support/node/samples.ts';
import { type Around, runShell } from '../support/node/shell.ts';

/**
 * docs/output.md has every field that a command can print as JSON, and no other. The results here have a value in every
 * field, which their types demand, so that a new one is an error until it is here and in the document.
 */

/** All optional fields are there, and no list is empty. */
type Whole<T> = T extends string | number | boolean
  ? T
  : T extends readonly (infer Item)[]
    ? readonly [Whole<Item>, ...Whole<Item>[]]
    : { readonly [Field in keyof T]-?: Whole<Exclude<T[Field], undefined>> };

const document = readFileSync(fileURLToPath(new URL('../../docs/output.md', import.meta.url)), 'utf8');

const pod = { namespace: 'ml', name: 'web-0', uid: 'u', serviceAccount: 's' };
const notes = ['n'] as const;
const platform = { os: 'linux', architecture: 'arm', variant: 'v7' };
const descriptor = { mediaType: 'm', digest, size: 1, annotations: { a: 'b' }, artifactType: 't', platform };
const wholeResolved: Whole<Resolved> = { reference: resolved.reference, descriptor, cached: true };
const wholePulled: Whole<Pulled> = { ...pulled, notes };
const wholeVolume: Whole<VolumeStatus> = {
  ...volume,
  pod,
  keepsFolder: true,
  refused: 'why',
  damaged: 'what',
  loading: {
    bytes: 1,
    totalBytes: 2,
    bytesPerSecond: 3,
    waitingReads: 4,
    problem: 'why',
    lied: true,
    stopped: true,
  },
  viewDigest: digest,
};
const wholeDetail: Whole<ArtifactDetail> = {
  ...detail,
  notes,
  otherNames: ['r.example/z:2'],
  viewDigests: [digest],
  volumes: ['/t'],
  layers: [{ digest, mediaType: 'm', size: 12, name: 'w/x', form: 'file', held: true }],
};
const summary: Whole<ArtifactSummary> = {
  reference: 'r.example/z:1',
  digest,
  artifactType: 't',
  bytes: 1,
  usedAt: 1,
  verifiedAt: 1,
  pinned: true,
  volumes: 2,
};
const layer = { name: 'w', bytes: 1, totalBytes: 2, bytesPerSecond: 3 };
const pull: Whole<PullStatus> = {
  since: 1,
  progress: { ...at('download', 1), waits: 'for it', current: [layer] },
  wanters: [{ reference: 'r.example/z:1', digest, kind: 'pod', targetPath: '/t', pod }],
};
const entry: Whole<PrefetchStatus> = { reference: 'z', state: 'failed', digest, problem: 'p', nextAt: 1 };
const failed: Whole<FailingVolume> = {
  targetPath: '/t',
  pod,
  reference: 'z',
  code: 'not-found',
  message: 'm',
  since: 1,
  failedAt: 2,
  failures: 3,
};
const status: Whole<NodeStatus> = {
  stateDir: '/s',
  disk: nodeStatus.disk,
  cacheBytes: 1,
  problems: notes,
  facts: notes,
  daemon: { version: '1', driverName: 'd', notReady: notes, registration: 'registered' },
  prefetch: [entry],
  failing: [failed],
};
const removed: Whole<Removed> = { artifacts: 1, bytes: 2, reference: 'z', digest, keptBy: notes };
const pruned: Whole<Pruned> = { artifacts: 1, bytes: 2, items: [{ reference: 'z', digest, bytes: 2 }] };
const finding: Whole<Finding> = { path: '/p', problem: 'q', artifacts: ['z'], keptBy: ['y'], repaired: true };
const credentials: Whole<EndpointCredentials> = { endpoint: 'e', sources: notes };

const artifacts: Backend['artifacts'] = {
  status: async () => status,
  resolve: async () => wholeResolved,
  pull: async () => wholePulled,
  pulls: async () => [pull],
  cancel: async () => 1,
  list: async () => [summary],
  inspect: async () => wholeDetail,
  explain: async () => [credentials],
  remove: async () => removed,
  prune: async () => pruned,
  previewPrune: async () => pruned,
  pin: async () => digest,
  unpin: async () => undefined,
  volumes: async () => [wholeVolume],
  load: async () => [wholeResolved],
  fsck: async (_, onFinding) => {
    await onFinding(finding);
    return { checked: 1 };
  },
};
const {
  mounted: _,
  refused: _refused,
  damaged: _damaged,
  loading: _loading,
  viewDigest: _viewDigest,
  pod: _pod,
  ...published
} = wholeVolume;
const mine = { ...wholeVolume, anywhere: true, targetPath: '/mnt' };
const publishing: Partial<Backend['publishing']> = {
  publish: async () => published,
  unpublish: async () => undefined,
};

/** The command lines by the headings of the document. */
const commands: Readonly<Record<string, string>> = {
  status: 'status',
  volumes: 'volumes',
  mount: 'mount z /mnt/new',
  unmount: 'unmount /mnt',
  pull: 'pull z',
  'pull --cancel': 'pull --cancel z',
  resolve: 'resolve z',
  load: 'load -',
  ls: 'ls',
  inspect: 'inspect z',
  'inspect --credentials': 'inspect --credentials z',
  rm: 'rm z',
  prune: 'prune --dry-run',
  pin: 'pin z',
  unpin: 'unpin z',
  fsck: 'fsck',
};

test('every field of the output of a command is in docs/output.md, and every one that is there exists', async () => {
  for (const [heading, line] of Object.entries(commands)) {
    const around: Around = {
      artifacts: { ...artifacts, volumes: async () => (heading === 'unmount' ? [mine] : [wholeVolume]) },
      publishing,
    };
    const { json, stderr } = await runShell([...line.split(' '), '--output=json'], around);
    assert.equal(stderr, '', line);
    assert.deepEqual(documented(heading), fieldsOf(json), heading);
  }
});

test('docs/output.md has the fields of version and demo, and no other command', async () => {
  const answering = { connect: async () => ({ artifacts, publishing, close: async () => {} }) as never };
  const alone = fieldsOf((await runShell(['version', '-o', 'json'], { builder: answering })).json);
  assert.ok(alone.includes('daemon.error'), 'no daemon answers');
  const found = ['daemon.version', 'daemon.driverName', 'daemon.endpoint'];
  assert.deepEqual(documented('version'), [...alone, ...found].toSorted());

  const stdout = new PassThrough();
  const stage = openStage(stdout, true, new AbortController().signal);
  stage.heading('h');
  await stage.step(
    async () => 1,
    () => 'one',
  );
  stage.say('more');
  stage.end();
  stdout.end();
  assert.deepEqual(documented('demo'), fieldsOf(JSON.parse(await text(stdout))));

  const headings = [...document.matchAll(/^## (.+)$/gm)].map(([, heading = '']) => heading);
  assert.deepEqual(headings.toSorted(), [...Object.keys(commands), 'version', 'demo'].toSorted());
});

/** The fields in the first column of a section's table. */
function documented(heading: string): readonly string[] {
  const section = document.split(/^## /m).find(part => part.startsWith(`${heading}\n`)) ?? '';
  const cells = [...section.matchAll(/^\| (`.*?) \|/gm)].map(([, cell = '']) => cell);
  return cells.flatMap(cell => [...cell.matchAll(/`([^`]+)`/g)].map(([, field = '']) => field)).toSorted();
}

/** Each field with a value of its own, once. The keys of annotations are not fields. */
function fieldsOf(value: unknown, path = ''): readonly string[] {
  if (typeof value !== 'object' || value === null) return [path];
  const inner = Array.isArray(value)
    ? value.flatMap(item => fieldsOf(item, `${path}[]`))
    : Object.entries(value).flatMap(([key, item]) =>
        fieldsOf(item, `${path}${path === '' ? '' : '.'}${path.endsWith('annotations') ? '*' : key}`),
      );
  return [...new Set(inner)].toSorted();
}
