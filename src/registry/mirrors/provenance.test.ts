import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import { createFileState, setSize, sizeOf } from '../../util/growing-file.ts';
import { toUpstream } from '../config/route.ts';
import { openProvenanceRecord } from './provenance.ts';

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
  const provenance = openProvenanceRecord(sink, describeBlob(Buffer.from('some bytes')), () => {});
  const [silent, first, second] = ['silent', 'first', 'second'].map(host =>
    toUpstream({ host, path: 'a', insecure: false }),
  );
  provenance.source = silent;
  provenance.file?.grown();
  provenance.source = first;
  setSize(state, 4);
  provenance.file?.grown();
  provenance.source = silent;
  provenance.file?.grown();
  assert.deepEqual([...provenance.sources], [first]);
  provenance.source = second;
  provenance.write(Buffer.from('by'));
  assert.deepEqual([...provenance.sources], [first, second]);
  provenance.restart();
  assert.equal(provenance.sources.size, 0);
  provenance.source = second;
  setSize(state, 1);
  provenance.file?.grown();
  assert.deepEqual([...provenance.sources], [second]);
});
