import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatLate } from './late-text.ts';

const mib = 1024 ** 2;

test('how far a volume is loaded is said in percent, which are 100 only when all is here', () => {
  const loaded = { bytes: 0, totalBytes: 200 * mib, bytesPerSecond: 0, waitingReads: 0 };
  const table = [
    [{}, 'on demand: 0 % of 200 MiB'],
    [{ bytes: 200 * mib - 1 }, 'on demand: 99 % of 200 MiB'],
    [{ bytes: 200 * mib, bytesPerSecond: 1, waitingReads: 1 }, 'on demand: complete'],
    [
      { bytes: 50 * mib, bytesPerSecond: 10 * mib, waitingReads: 1 },
      'on demand: 25 % of 200 MiB, 10.0 MiB/s, ready in 15 s, 1 read waits',
    ],
    [
      { waitingReads: 2, problem: 'the registry refuses' },
      'on demand: 0 % of 200 MiB, 2 reads wait, the registry refuses',
    ],
    [
      { bytes: mib, stopped: true },
      'on demand: 0 % of 200 MiB, stopped by `pull --cancel`: only what is read is downloaded; `pull` loads the rest',
    ],
    [{ totalBytes: 0, problem: 'it is being continued' }, 'on demand: it is being continued'],
  ] as const;
  for (const [changes, text] of table) assert.equal(formatLate({ ...loaded, ...changes }), text);
});
