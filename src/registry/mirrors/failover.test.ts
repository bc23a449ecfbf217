import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toUpstream } from '../config/route.ts';
import { failover } from './failover.ts';
import { openMirrorHealth } from './mirror-health.ts';

test('an answer to a client certificate or a configured header is one to the node, not to anyone', async () => {
  const plain = toUpstream({ host: 'models.test', path: 'a', insecure: false });
  const pairs = [{ cert: 'cert', key: 'key' }];
  const health = openMirrorHealth(
    { now: () => 0, elapsed: () => 0, random: () => 0, sleep: async () => {} },
    () => {},
  );
  const cases = [
    [plain, 'anyone'],
    [{ ...plain, headers: { 'x-team': 'ml' } }, 'node'],
    [{ ...plain, trust: { ...plain.trust, pairs } }, 'node'],
  ] as const;
  for (const [last, expected] of cases) {
    const keyring = {
      id: '',
      find: async () => ({ kind: 'anonymous', holder: { kind: 'anyone' }, source: 'anonymous' }) as const,
    };
    const asked = { route: { mirrors: [], last }, subject: 'a', keyring, tried: [] };
    const holder = await failover(
      asked,
      health,
      async ({ credential }) => credential.holder.kind,
      new AbortController().signal,
    );
    assert.equal(holder, expected);
  }
});
