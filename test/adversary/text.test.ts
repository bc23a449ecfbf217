import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import process from 'node:process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { ociIndex, ociManifest } from '../../src/oci/manifest.ts';
import { publishRequest } from '../support/node/daemon.ts';
import { main } from '../support/node/main.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { openSetting } from '../support/node/setting.ts';
import { paxEntry, rawEntry, rawTar } from '../support/oci/raw-tar.ts';
import { sha256 } from '../support/oci/tar.ts';

/** Texts of a registry appear in events, in the log and on terminals. None of them may control where it is shown. */

/** Clears a terminal, names its window, forges a line and a field, and turns text around. */
const steer = '\u001b[2J\u001b]0;owned\u0007\r\nFORGED="1"\u009b31m\u202egnp\u2028\u2066';
const steering = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u;

const { registry, node, daemon } = await openSetting();

/** Every line of it, and each has nothing that steers. */
function assertHarmless(text: string): void {
  assert.ok(text.length > 0);
  for (const line of text.split('\n')) {
    assert.doesNotMatch(line, steering);
    assert.doesNotMatch(line, /^FORGED/);
  }
}

async function publish(reference: string, attributes: Record<string, string> = {}) {
  const request = await publishRequest(node, { reference, ...attributes });
  return outcomeOf(daemon.csi.NodePublishVolume(request));
}

const part = (bytes: Uint8Array, mediaType: string, annotations: Record<string, string> = {}): object => ({
  mediaType,
  digest: sha256(bytes),
  size: bytes.length,
  annotations,
});
const none = Buffer.from('{}');
let tags = 0;
async function put(
  document: object,
  layers: readonly Uint8Array[],
  mediaType = ociManifest,
): Promise<string> {
  const tag = `t${tags++}`;
  for (const bytes of [none, ...layers]) await registry.registry.putBlob('evil/model', bytes);
  const bytes = Buffer.from(JSON.stringify(document));
  await registry.registry.putManifest('evil/model', tag, mediaType, bytes);
  return `${registry.host}/evil/model:${tag}`;
}
const documentOf = (layers: readonly object[], fields: object = {}): object => ({
  schemaVersion: 2,
  mediaType: ociManifest,
  artifactType: `x${steer}`,
  config: part(none, `application/x${steer}`),
  annotations: { [`key${steer}`]: `value${steer}` },
  layers,
  ...fields,
});
const title = (name: string): Record<string, string> => ({ 'org.opencontainers.image.title': name });

test('names cannot break the lines of a status or the log', async () => {
  const bytes = Buffer.from('x');
  const tar = 'application/vnd.oci.image.layer.v1.tar';
  const damaged = rawTar(paxEntry({ path: Buffer.from(`${steer}/../..`) }), rawEntry({ name: 'f' }));
  const odd = rawTar({ name: 'a' }, { name: steer.slice(0, 20), type: 'S' });
  const platform = { os: `linux${steer}`, architecture: steer };
  for (const [reference, attributes] of [
    [await put(documentOf([part(bytes, 'x', title(`a${steer}/../../b`))]), [bytes]), {}],
    [await put(documentOf([part(bytes, 'x', title(`a${steer}`))]), [bytes]), { include: 'other' }],
    [await put(documentOf([part(bytes, 'x', title(`a${steer}`))]), [bytes]), { subPath: 'other' }],
    [await put(documentOf([part(damaged, tar)]), [damaged])],
    [await put(documentOf([part(odd, tar)]), [odd])],
    [await put(documentOf([], { mediaType: steer }), [])],
    [await put(documentOf([{ mediaType: steer, digest: steer, size: 1 }]), [])],
    [await put(documentOf([], { annotations: { [steer]: 7 } }), [])],
    [
      await put(
        { schemaVersion: 2, mediaType: ociIndex, manifests: [{ ...part(none, ociManifest), platform }] },
        [],
        ociIndex,
      ),
    ],
  ] as const) {
    const { code, text } = await publish(reference, attributes);
    assert.notEqual(code, 'OK');
    assertHarmless(text);
  }
  // If kubelet does not name the pod, the author of the volume can.
  const forged = { 'csi.storage.k8s.io/pod.name': steer, 'csi.storage.k8s.io/pod.namespace': steer };
  assert.equal((await publish(await put(documentOf([]), []), forged)).code, 'OK');
  registry.fault(() => ({ kind: 'status', status: 403, code: 'DENIED', message: steer }));
  assertHarmless((await publish(`${registry.host}/evil/model:refused`)).text);
  registry.fault(() => ({
    kind: 'raw',
    text: `HTTP/1.1 200 \u009bOK\r\ncontent-type: a\u009b2J/b\r\ndocker-content-digest: \u009b2J\r\ncontent-length: 2\r\n\r\n{}`,
  }));
  assertHarmless((await publish(`${registry.host}/evil/model:headers`)).text);
  registry.fault(() => undefined);
  assertHarmless(daemon.output());
  for (const line of daemon.output().trim().split('\n')) JSON.parse(line);
});

test('the error for a long name still contains the reason', async () => {
  const bytes = Buffer.from('y');
  const long = `${'long'.repeat(10_000)}/../x`;
  const { text } = await publish(await put(documentOf([part(bytes, 'x', title(long))]), [bytes]));
  assert.match(text, /is longer than 4096 bytes/);
});

test('names cannot break the lines of ls, inspect and their JSON', async () => {
  const bytes = Buffer.from('x');
  // Bytes of a name may be anything but a slash and NUL.
  const tar = rawTar(
    paxEntry({ path: Buffer.from(steer), 'SCHILY.xattr.\xc2\x9b2J': 'x' }),
    rawEntry({ body: 'x' }),
  );
  const layers = [
    part(bytes, `x${steer}`, { ...title(`dir${steer}/file`), [steer]: steer }),
    part(tar, 'application/vnd.oci.image.layer.v1.tar'),
  ];
  const reference = await put(documentOf(layers), [bytes, tar]);
  const { code, text } = await publish(reference);
  assert.equal(code, 'OK', text);
  for (const args of [
    ['ls'],
    ['ls', '--output=json'],
    ['inspect', reference],
    ['inspect', reference, '--output=json'],
    ['volumes'],
    ['resolve', reference],
    ['resolve', reference, '--output=json'],
  ]) {
    const command = [main, ...args, `--endpoint=unix://${node.socket}`];
    const { stdout } = await promisify(execFile)(process.execPath, command);
    assertHarmless(stdout);
    if (args.includes('--output=json')) JSON.parse(stdout);
  }
  assertHarmless(daemon.output());
});
