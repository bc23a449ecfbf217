import assert from 'node:assert/strict';
import { test } from 'node:test';
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
