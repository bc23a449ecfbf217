import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VolumeRecord } from '../../ports/records.ts';
import { ArtifactError } from '../../util/error.ts';
import { restoreViews } from './restoration.ts';

test('a view whose record cannot be written stays as it is, and the others get theirs', async () => {
  const volumes = ['a', 'b'].map(view => ({ view, targetPath: `/pods/${view}` }) as VolumeRecord);
  const full = new ArtifactError('exhausted', 'the disk of the cache is full');
  const notes = await restoreViews({
    blobs: { read: async () => Buffer.from('{}') },
    views: {
      listLost: async () => ['a', 'b'],
      async restore({ key }) {
        if (key === 'a') throw full;
        return true;
      },
      remove: () => assert.fail(),
    },
    volumes: { list: async () => volumes },
    mounter: { list: async () => [] },
    viewsDirectory: '/state/views',
  });
  assert.deepEqual(notes, [
    'the view a had no record: it stays as it is: the disk of the cache is full',
    'the view b had no record: it is written anew, of the volume at /pods/b',
  ]);
});
