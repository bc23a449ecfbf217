import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VolumeRecord } from '../../ports/records.ts';
import type { ViewRecord } from '../../ports/store.ts';
import { createKeyedMutex } from '../../util/mutex.ts';
import { createRetirement } from './retirement.ts';

test('a thousand views are retired with one look at the mounts', async () => {
  const keys = Array.from({ length: 1000 }, (_, nth) => `k${nth}`);
  const mounts = keys.slice(1).map(key => ({ source: `/views/${key}/part`, target: `/pods/${key}` }));
  const removed: string[] = [];
  const setAside: string[] = [];
  let lists = 0;
  const retirement = createRetirement({
    views: {
      remove: async (key: string) => void removed.push(key),
      setAside: async (key: string) => void setAside.push(key),
    } as never,
    volumes: { find: async () => undefined } as never,
    mounter: { list: async () => (lists++, mounts as never) },
    viewsDirectory: '/views',
    viewTurns: createKeyedMutex(),
    tell: () => assert.fail('no volume is known'),
  });
  const targets = await retirement.retire(
    keys.map(key => ({ key }) as ViewRecord),
    'it is damaged',
  );
  assert.deepEqual(
    targets,
    keys.slice(1).map(key => `/pods/${key}`),
  );
  assert.deepEqual([removed, setAside, lists], [['k0'], keys.slice(1), 1]);
});

test('the owner of each volume that shows a retired view is told once', async () => {
  const records = new Map(
    ['/pods/a', '/pods/b', '/pods/other'].map(targetPath => [
      targetPath,
      { targetPath, view: targetPath === '/pods/other' ? 'sound' : 'damaged' } as VolumeRecord,
    ]),
  );
  const targets = [...records.keys(), '/pods/a/a-subPath-of-kubelet'];
  const told: string[] = [];
  const retirement = createRetirement({
    views: { setAside: async () => {} } as never,
    volumes: {
      find: async (target: string) => records.get(target),
      put: async (record: VolumeRecord) => void records.set(record.targetPath, record),
    } as never,
    mounter: { list: async () => targets.map(target => ({ source: '/views/damaged', target })) as never },
    viewsDirectory: '/views',
    viewTurns: createKeyedMutex(),
    tell: ({ targetPath }, damage) => void told.push(`${targetPath}: ${damage}`),
  });
  const view = { key: 'damaged' } as ViewRecord;
  for (const damage of [undefined, 'it is damaged'])
    await retirement.retire([{ ...view, ...(damage && { damage }) }], 'it is damaged');
  assert.deepEqual(told, ['/pods/a: it is damaged', '/pods/b: it is damaged']);
});
