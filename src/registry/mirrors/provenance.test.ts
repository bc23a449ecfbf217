import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import { createFileState, setSize, sizeOf } from '../../util/growing-file.ts';
import { openProvenanceRecord } from './provenance.ts';
import { toPlace } from '../config/upstream.ts';

test('an upstream becomes a source when bytes arrive, by either path', () => {
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
  const provenance = openProvenanceRecord(sink, describeBlob(Buffer.from('some bytes')));
  const [silent, first, second] = ['silent', 'first', 'second'].map(host =>
    toPlace({ host, path: 'a', insecure: false }),
  );
  provenance.giver = silent;
  provenance.file?.grown();
  provenance.giver = first;
  setSize(state, 4);
  provenance.file?.grown();
  provenance.giver = silent;
  provenance.file?.grown();
  assert.deepEqual([...provenance.givers], [first]);
  provenance.giver = second;
  provenance.write(Buffer.from('by'));
  assert.deepEqual([...provenance.givers], [first, second]);
  provenance.restart();
  assert.equal(provenance.givers.size, 0);
  provenance.giver = second;
  setSize(state, 1);
  provenance.file?.grown();
  assert.deepEqual([...provenance.givers], [second]);
});
