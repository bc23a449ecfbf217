import assert from 'node:assert/strict';
import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { publishRequest } from '../support/node/daemon.ts';
import { openSetting } from '../support/node/setting.ts';
import { shownOf, verifyGone, verifyVolume } from '../support/node/volume.ts';
import { gzip, tarOf } from '../support/oci/tar.ts';
import { openRandom, type Random } from '../support/os/random.ts';

const { registry, node, daemon } = await openSetting();

const text = Buffer.from('a text of a file layer');
const files = [
  ['d/a', 'first'],
  ['d/b', 'other'],
  ['d/e/c', 'third, and longer'],
] as const;
const layer = gzip(await tarOf(files.map(([name, content]) => [{ name }, content])));
const { reference } = await registry.push('rots', 'v1', [
  { name: 'text', bytes: text },
  { bytes: layer, mediaType: 'application/vnd.acme.layer.v1.tar+gzip' },
]);
const whole = shownOf([['text', text], ...files]);
const part = shownOf(files);

/** Publishes, verifies what is shown, and ends it: the view that is there, and one that may be built. */
async function verifyPods(): Promise<void> {
  for (const [attributes, shown] of [
    [{}, whole],
    [{ exclude: 'text' }, part],
  ] as const) {
    const request = await publishRequest(node, { reference, ...attributes });
    await daemon.csi.NodePublishVolume(request);
    verifyVolume(request.target_path, shown);
    await daemon.csi.NodeUnpublishVolume(request);
    verifyGone(request.target_path);
  }
}

/** The paths that fsck names. */
async function fsck(): Promise<readonly string[]> {
  const paths: string[] = [];
  for await (const { finding } of daemon.streams.Fsck({ repair: false })) {
    if (finding) paths.push(finding.path);
  }
  return paths;
}

/** All files below a directory of the state directory, in one order. */
function filesBelow(directory: string): readonly string[] {
  return readdirSync(join(node.stateDir, directory), { recursive: true, withFileTypes: true })
    .filter(entry => !entry.isDirectory())
    .map(entry => join(entry.parentPath, entry.name))
    .toSorted();
}

/** Possible damage to a file by a disk, a pod or a user. None of it changes the time of the last write. */
const damages: Readonly<Record<string, (path: string, other: string, random: Random) => void>> = {
  'a flipped byte': (path, _, random) => {
    const { atime, mtime } = lstatSync(path);
    const bytes = readFileSync(path);
    const at = Math.floor(random.next() * bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(path, bytes, { flag: 'r+' });
    utimesSync(path, atime, mtime);
  },
  'a cut': path => truncateSync(path, lstatSync(path).size - 1),
  'more bytes': path => writeFileSync(path, 'x', { flag: 'a' }),
  'a swap with another': (path, other) => {
    renameSync(path, `${path}.x`);
    renameSync(other, path);
    renameSync(`${path}.x`, other);
  },
  // Each file moves to a directory of its own: a rename onto another hard link of the same file does nothing.
  'a symlink in its place': path => {
    const moved = join(mkdtempSync(join(node.path, 'moved-')), 'file');
    renameSync(path, moved);
    symlinkSync(moved, path);
  },
  'another mode': path => chmodSync(path, 0o777),
  'its removal': path => rmSync(path),
  'a file beside it': path => writeFileSync(`${path}.added`, 'added'),
};

/** Harmless changes: a missing blob is pulled again, extra files are ignored, and no pod sees a table of contents. */
function isHarmless(directory: string, what: string, path: string): boolean {
  if (what === 'another mode' && path.endsWith('/toc')) return true;
  return directory === 'blobs'
    ? what === 'its removal' || what === 'a file beside it'
    : what === 'a file beside it';
}

/** Picks a file of the state dir that is there, and another one. */
function pick(directory: string, random: Random): readonly [string, string] {
  const there = filesBelow(directory);
  const at = Math.floor(random.next() * there.length);
  const other = (at + 1 + Math.floor(random.next() * (there.length - 1))) % there.length;
  return [there[at] ?? '', there[other] ?? ''];
}

for (const directory of ['blobs', 'layers'] as const) {
  test(`after any damage to a file of ${directory}/, fsck reports it, and new pods get the right bytes`, async t => {
    const random = openRandom();
    t.diagnostic(`seed ${random.seed}`);
    for (const [what, damage] of Object.entries(damages)) {
      for (let round = 0; round < 2; round++) {
        await verifyPods();
        const [path, other] = pick(directory, random);
        damage(path, other, random);
        const doing = `${what} of ${path} (seed ${random.seed})`;
        const found = await fsck();
        const named = found.some(item => path === item || path.startsWith(`${item}/`));
        assert.equal(
          named,
          !isHarmless(directory, what, path),
          `${doing}: fsck names ${found.join(', ') || 'nothing'}`,
        );
        await verifyPods().catch((thrown: unknown) => assert.fail(`${doing}: ${String(thrown)}`));
        // A publish repairs what pods need; other content may be wrong until it is needed.
        for await (const _ of daemon.streams.Fsck({ repair: true }));
        assert.deepEqual(await fsck(), [], doing);
      }
    }
  });
}

test('after any damage to a file of the state directory, no new pod gets a wrong byte', async t => {
  const random = openRandom();
  t.diagnostic(`seed ${random.seed}`);
  const all = Object.entries(damages);
  for (let round = 0; round < 40; round++) {
    await verifyPods();
    const directory = ['blobs', 'layers', 'views', ''][Math.floor(random.next() * 4)] ?? '';
    const [what, damage] = all[Math.floor(random.next() * all.length)] ?? assert.fail();
    const [path, other] = pick(directory, random);
    if (/\/(?:lock|format|salt)$/.test(path) || /\/(?:lock|format|salt)$/.test(other)) continue;
    damage(path, other, random);
    await verifyPods().catch((thrown: unknown) =>
      assert.fail(`${what} of ${path} (and ${other}; seed ${random.seed}): ${String(thrown)}`),
    );
  }
  assert.match(
    await (await fetch(`${daemon.http}/metrics`)).text(),
    /cache_damage_total\{kind="blob"\} [1-9]/,
  );
});
