import assert from 'node:assert/strict';
import { test } from 'node:test';
import { volume } from '../../test/support/node/csi-edge.ts';
import { noImages } from '../../test/support/node/image-mounts.ts';
import type { TargetState } from '../ports/mounter.ts';
import type { View } from '../ports/store.ts';
import type { Verdict } from '../ports/trust.ts';
import { ArtifactError } from '../util/error.ts';
import { createVolumeStatus } from './volume-status.ts';

const never = new AbortController().signal;
const record = { ...volume, holds: [] };
const view: View = {
  key: volume.view,
  manifest: volume.digest,
  reference: volume.resolved,
  blobs: [],
  layers: [],
  bytes: volume.bytes,
  inodes: volume.inodes,
  path: '/state/views/v1',
  usedAt: 0,
};

type World = {
  readonly view?: View | undefined;
  readonly state: TargetState | ArtifactError;
  readonly verdict: Verdict;
  readonly access?: ArtifactError;
};

const shown: TargetState = { kind: 'mounted', shows: 'view', readOnly: true };
const healthy: World = { view, state: shown, verdict: { kind: 'accepted', by: 'default' } };
const unsigned: Verdict = { kind: 'refused', why: 'not signed' };

const statusOf = (world: World, of = record) =>
  createVolumeStatus({
    views: { find: async () => world.view },
    images: noImages,
    onDemand: { status: () => undefined },
    mounter: {
      async state() {
        if (world.state instanceof ArtifactError) throw world.state;
        return world.state;
      },
    },
    signatures: { evaluate: async () => world.verdict },
    accessPolicy: {
      async verify(_, { caller }) {
        if (world.access !== undefined && caller === 'pod') throw world.access;
      },
    },
  })(of, never);

type Expected = { readonly mounted: boolean; readonly damaged?: string; readonly refused?: string };

const states: readonly (readonly [string, Partial<World>, Expected])[] = [
  ['a mounted volume', {}, { mounted: true }],
  ['a volume before kubelet mounts it again', { state: { kind: 'empty' } }, { mounted: false }],
  [
    'a volume whose view was collected meanwhile',
    { state: { kind: 'empty' }, view: undefined },
    { mounted: false },
  ],
  [
    'a volume at a target that cannot be looked at',
    { state: new ArtifactError('invalid', 'a symlink') },
    { mounted: false },
  ],
  [
    'a volume that shows a damaged view',
    { view: { ...view, damage: 'a name is missing' } },
    { mounted: true, damaged: 'a name is missing' },
  ],
  [
    'a volume whose view was removed',
    { view: undefined, state: { kind: 'mounted', shows: 'dead', readOnly: true } },
    { mounted: false, damaged: 'its tree is no longer in the cache' },
  ],
  [
    'a volume that was mounted again by someone else',
    { state: { ...shown, readOnly: false } },
    { mounted: true, damaged: 'its mount is no longer read-only' },
  ],
  ['a volume that is not signed', { verdict: unsigned }, { mounted: true, refused: 'not signed' }],
  [
    'a volume of a namespace that may not have it any more',
    { access: new ArtifactError('denied', 'rule 3') },
    { mounted: true, refused: 'rule 3' },
  ],
  [
    'a volume while nobody knows the labels of its namespace',
    { access: new ArtifactError('unavailable', 'no API') },
    { mounted: true },
  ],
];

for (const [name, world, expected] of states) {
  test(`the status of ${name}`, async () => {
    const { mounted, damaged, refused } = await statusOf({ ...healthy, ...world });
    assert.deepEqual({ mounted, ...(damaged && { damaged }), ...(refused && { refused }) }, expected);
  });
}

test('the access policy does not apply to a volume of the command line', async () => {
  const access = new ArtifactError('denied', 'rule 3');
  assert.equal((await statusOf({ ...healthy, access }, { ...record, anywhere: true })).refused, undefined);
});

test('a status lists no digests that the volume holds', async () => {
  assert.deepEqual(await statusOf(healthy), { ...volume, mounted: true });
});
