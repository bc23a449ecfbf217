import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatLogLine } from './log-line.ts';

const line = (fields: object): string =>
  formatLogLine(`${JSON.stringify({ level: 'info', time: 'T', ...fields })}\n`);

test('a line of text begins with what people look for, and ends with the long fields', () => {
  const target = '/var/lib/kubelet/pods/x/volumes/kubernetes.io~csi/m/mount';
  const [method, volumeId, digest] = ['/csi.v1.Node/NodePublishVolume', 'csi-1', 'sha256:ab'];
  const known = {
    reference: 'localhost:5000/models/tiny:1',
    bytes: 35_840,
    ms: 13,
    cached: 0,
    pulled: 2_048,
    code: 'OK',
  };
  assert.equal(
    line({
      method,
      volumeId,
      target,
      namespace: 'shop',
      pod: 'web-0',
      digest,
      ...known,
      msg: 'volume published',
    }),
    `T INFO volume published pod=shop/web-0 reference=localhost:5000/models/tiny:1 bytes=35840 pulled=2048 cached=0 ms=13 code=OK digest=sha256:ab volumeId=csi-1 target=${target} method=${method}\n`,
  );
});

test('a value that is not one word is in quotes, on the same line, and other values are JSON', () => {
  assert.equal(
    line({ level: 'warn', error: 'a b\n"c"', items: ['x', 1], port: 9809, empty: '', msg: 'one\ntwo' }),
    'T WARN one\\u000atwo error="a b\\n\\"c\\"" items=["x",1] port=9809\n',
  );
});
