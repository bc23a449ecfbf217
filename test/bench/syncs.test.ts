import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTrace } from './syncs.ts';

test('a call is counted once, however it is written', () => {
  const trace = `12    1700000001.500000 fsync(3)        = 0
13    1700000002.000000 fdatasync(4 <unfinished ...>
12    1700000002.100000 syncfs(5)       = 0
13    1700000002.200000 <... fdatasync resumed>) = 0
1700000003.250000 fsync(3) = -1 EIO (Input/output error)
13    1700000004.000000 +++ exited with 0 +++
`;
  assert.deepEqual(parseTrace(trace), [1700000001.5, 1700000002, 1700000002.1, 1700000003.25]);
});
