import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeBlob } from '../../../test/support/nodes.ts';
import { createFileState, setSize, sizeOf } from '../../util/growing-file.ts';
import { openLedger } from './provenance.ts';
import { toPlace } from '../config/upstream.ts';

test('who was asked is a giver once something came, by either way', () => {
  const state = createFileState();
  const file = { fd: -1, algorithm: 'sha256', state, grown() {}, hashed() {}, failed: () => assert.fail() };
  const sink = {
    get offset() {
      return sizeOf(state);
    },
    write: (chunk: Uint8Array) => setSize(state, sizeOf(state) + chunk.length),
    restart: () => setSize(state, 0),
    verify: async () => {},
    file,
  };
  const ledger = openLedger(sink, describeBlob(Buffer.from('some bytes')));
  const [silent, first, second] = ['silent', 'first', 'second'].map(host =>
    toPlace({ host, path: 'a', insecure: false }),
  );
  ledger.giver = silent;
  ledger.file?.grown();
  ledger.giver = first;
  setSize(state, 4);
  ledger.file?.grown();
  ledger.giver = silent;
  ledger.file?.grown();
  assert.deepEqual([...ledger.givers], [first]);
  ledger.giver = second;
  ledger.write(Buffer.from('by'));
  assert.deepEqual([...ledger.givers], [first, second]);
  ledger.restart();
  assert.equal(ledger.givers.size, 0);
  ledger.giver = second;
  setSize(state, 1);
  ledger.file?.grown();
  assert.deepEqual([...ledger.givers], [second]);
});
