import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { ociManifest } from '../../src/oci/manifest.ts';
import { publishRequest } from '../support/node/daemon.ts';
import { type Outcome, outcomeOf } from '../support/node/outcome.ts';
import { openSetting } from '../support/node/setting.ts';
import { endOfTar, paxEntry, rawEntry } from '../support/oci/raw-tar.ts';
import { sha256 } from '../support/oci/tar.ts';

/** Artifacts that are small to send, and large in every other way. The daemon continues, with bounded memory. */

const { registry, node, daemon } = await openSetting({
  flags: { '--max-layer-entries': '100000', '--log-level': 'info' },
});

const MB = 1_000_000;
const peakBytes = (): number =>
  1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.pid}/status`, 'utf8'))?.[1]);

async function publish(reference: string, attributes: Record<string, string> = {}): Promise<Outcome> {
  const request = await publishRequest(node, { reference, pullPolicy: 'IfNotPresent', ...attributes });
  return outcomeOf(daemon.csi.NodePublishVolume(request));
}

type Layer = { readonly bytes: Buffer; readonly name?: string; readonly times?: number };

/** An artifact that lists its layers as often as it likes. */
async function push(
  tag: string,
  layers: readonly Layer[],
  mediaType = 'application/x.tar+gzip',
): Promise<string> {
  const config = Buffer.from('{}');
  await registry.registry.putBlob('bomb', config);
  const listed: object[] = [];
  for (const { bytes, name, times = 1 } of layers) {
    await registry.registry.putBlob('bomb', bytes);
    for (let copy = 0; copy < times; copy++) {
      const annotations = name === undefined ? {} : { 'org.opencontainers.image.title': `${name}${copy}` };
      listed.push({ mediaType, digest: sha256(bytes), size: bytes.length, annotations });
    }
  }
  const document = {
    schemaVersion: 2,
    mediaType: ociManifest,
    artifactType: 'application/x.bomb',
    config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: sha256(config), size: config.length },
    layers: listed,
  };
  await registry.registry.putManifest('bomb', tag, ociManifest, Buffer.from(JSON.stringify(document)));
  return `${registry.host}/bomb:${tag}`;
}

test('the entries of a layer that is listed a hundred times are counted a hundred times before they are loaded', async () => {
  const entries = Array.from({ length: 50_000 }, (_, index) => rawEntry({ name: `d${index}/`, type: '5' }));
  const bytes = gzipSync(Buffer.concat([...entries, endOfTar]));
  const outcome = await publish(await push('again', [{ bytes, times: 100 }]));
  assert.equal(outcome.code, 'FAILED_PRECONDITION', outcome.text);
  assert.match(outcome.text, /all of its layers may have \(--max-layer-entries\)/);
  assert.ok(peakBytes() < 500 * MB, `${peakBytes()} bytes`);
});

test('a layer of long names that is listed many times is refused before its names are loaded', async () => {
  const long = Array.from({ length: 8_000 }, (_, index) => [
    paxEntry({ linkpath: String(index).padStart(4000, 'x') }),
    rawEntry({ name: `s${index}`, type: '2', linkname: 'x' }),
  ]).flat();
  const bytes = gzipSync(Buffer.concat([...long, endOfTar]));
  const outcome = await publish(await push('long', [{ bytes, times: 12 }]));
  assert.equal(outcome.code, 'FAILED_PRECONDITION', outcome.text);
  assert.match(outcome.text, /past 128 MiB of names and attributes/);
  assert.ok(peakBytes() < 500 * MB, `${peakBytes()} bytes`);
});

test('directories that only long paths imply are counted, in tars and in layer names', async () => {
  const entries = Array.from({ length: 5_000 }, (_, index) => [
    paxEntry({ path: `${index}/${'a/'.repeat(1800)}f` }),
    rawEntry({ name: 'f' }),
  ]).flat();
  const deep = await publish(
    await push('deep', [{ bytes: gzipSync(Buffer.concat([...entries, endOfTar])) }]),
  );
  assert.equal(deep.code, 'FAILED_PRECONDITION', deep.text);
  assert.match(deep.text, /--max-layer-entries/);
  const names = Array.from({ length: 900 }, (_, index) => ({
    bytes: Buffer.from('x'),
    name: `${index}/${'a/'.repeat(1800)}f`,
  }));
  const named = await publish(await push('names', names));
  assert.equal(named.code, 'FAILED_PRECONDITION', named.text);
  assert.match(named.text, /past the directories that the names/);
  assert.ok(peakBytes() < 500 * MB, `${peakBytes()} bytes`);
});

test('globs and names that would take days to match are refused in a second, and other calls are served meanwhile', async () => {
  const reference = await push('globs', [{ bytes: Buffer.from('x'), name: 'a'.repeat(3_000_000) }]);
  const wide = await push('wide', [{ bytes: Buffer.from('x'), name: 'n', times: 20_000 }]);
  for (const [wanted, include] of [
    [reference, '*a?'.repeat(1365)],
    [wide, Array.from({ length: 2000 }, () => '*').join(',')],
    [wide, Array.from({ length: 2000 }, () => 'n').join(',')],
  ] as const) {
    const outcome = await publish(wanted, { include });
    assert.equal(outcome.code, 'FAILED_PRECONDITION', outcome.text);
    assert.ok(outcome.ms < 10_000, `${outcome.ms} ms`);
  }
});

test('tens of thousands of layers do not delay other pulls', async () => {
  const layers = Array.from({ length: 6_000 }, (_, index) => ({
    bytes: Buffer.from(`${index}`),
    name: `n${index}-`,
  }));
  const many = await push('many', layers);
  const one = await push('one', [{ bytes: Buffer.from('x'), name: 'x' }], 'text/plain');
  const request = await publishRequest(node, { reference: many });
  // Its pull continues when the call has ended.
  const slow = outcomeOf(daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 5_000 }));
  let longest = 0;
  for (let nth = 0; nth < 10; nth++) {
    await sleep(300);
    const { code, text, ms } = await publish(one);
    assert.equal(code, 'OK', text);
    longest = Math.max(longest, ms);
  }
  await slow;
  assert.ok(longest < 2_000, `${longest} ms`);
});

test('an attribute that is too large for the filesystem is left out, from a directory and from a file', async () => {
  const pax = paxEntry({ 'SCHILY.xattr.user.big': 'x'.repeat(60_000), 'SCHILY.xattr.user.small': 'kept' });
  const tar = Buffer.concat([
    pax,
    rawEntry({ name: 'directory/', type: '5', mode: '0000755' }),
    pax,
    rawEntry({ name: 'directory/file', body: 'content' }),
    endOfTar,
  ]);
  const outcome = await publish(await push('xattrs', [{ bytes: gzipSync(tar) }]));
  assert.equal(outcome.code, 'OK', outcome.text);
});
