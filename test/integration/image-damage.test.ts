import assert from 'node:assert/strict';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { Finding } from '../../src/ports/usecases.ts';
import { publishRequest } from '../support/node/daemon.ts';
import { openSetting } from '../support/node/setting.ts';
import { shownOf, verifyGone, verifyVolume } from '../support/node/volume.ts';
import { gzip, sha256, tarOf } from '../support/oci/tar.ts';

/** Damages images and the tars that they show; fsck.test.ts damages trees of hard links. */
const { registry, node, daemon } = await openSetting();

type Sample = {
  readonly reference: string;
  readonly digest: string;
  readonly files: readonly (readonly [path: string, text: string])[];
};
let pushed = 0;

async function push(): Promise<Sample> {
  const files = [
    ['a', `text ${++pushed} `.repeat(100)],
    ['d/b', 'b'],
  ] as const;
  const bytes = gzip(await tarOf(files.map(([name, content]) => [{ name }, content])));
  const mediaType = 'application/vnd.acme.layer.v1.tar+gzip';
  const { reference } = await registry.push(`damaged-${pushed}`, 'v1', [{ bytes, mediaType }]);
  return { reference, digest: sha256(bytes), files };
}

async function publish({ reference }: Sample, pullPolicy = 'IfNotPresent') {
  const request = await publishRequest(node, { reference, pullPolicy });
  await daemon.csi.NodePublishVolume(request);
  return request;
}

/** What is wrong in the state directory; what volumes show for themselves is aside. */
async function fsck(repair: 'repair' | 'only look' = 'only look'): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for await (const { finding } of daemon.streams.Fsck({ repair: repair === 'repair' }))
    if (finding) findings.push(finding);
  return findings.filter(({ path }) => path.startsWith(node.stateDir) && !/-[^/]*\.erofs$/.test(path));
}

/** The image that a new volume would show. */
function imageFile(): string {
  const views = join(node.stateDir, 'views');
  const [directory = '', ...others] = readdirSync(views).filter(name => /^[^-]*\.erofs$/.test(name));
  const [image = ''] = readdirSync(join(views, directory)).filter(name => name.includes('-'));
  assert.deepEqual(others, []);
  return join(views, directory, image);
}

const deviceOf = (path: string): number => statSync(path).dev;

function write(path: string, text: string, at: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, text, at);
  closeSync(fd);
}

const flip = (path: string): void => write(path, 'X', statSync(path).size - 700);

type Damages = Readonly<Record<string, readonly [damage: (path: string) => void, problem: RegExp]>>;

const ofImages: Damages = {
  'has other bytes': [flip, /its image is not that of its layers/],
  'was cut': [file => truncateSync(file, statSync(file).size - 1), /its image is not that of its layers/],
  grew: [file => appendFileSync(file, 'more'), /its image has more bytes than it must/],
  'may be written by all': [file => chmodSync(file, 0o666), /its image has mode 666, not 600/],
  'belongs to another user': [file => chownSync(file, 7, 8), /its image belongs to 7:8, not 0:0/],
  'is a symlink': [
    file => {
      renameSync(file, join(node.path, 'moved'));
      symlinkSync(join(node.path, 'moved'), file);
    },
    /its image is no regular file/,
  ],
  'has another file beside it': [
    file => writeFileSync(join(dirname(file), '0'), ''),
    /"0" does not belong beside its image/,
  ],
  'is in a directory that all may write to': [
    file => chmodSync(dirname(file), 0o777),
    /the directory of its image has another mode or owner/,
  ],
};

for (const [what, [damage, problem]] of Object.entries(ofImages)) {
  test(`an image that ${what} is found, and shown to no new pod`, async () => {
    const sample = await push();
    const first = await publish(sample);
    for (const mend of ['repair', 'only look'] as const) {
      const image = imageFile();
      damage(image);
      const [found, ...others] = await fsck(mend);
      assert.deepEqual([found?.path, others], [dirname(image), []]);
      assert.match(found?.problem ?? '', problem);
      const next = await publish(sample, 'Never');
      verifyVolume(next.target_path, shownOf(sample.files));
      await daemon.csi.NodeUnpublishVolume(next);
    }
    await daemon.csi.NodeUnpublishVolume(first);
    verifyGone(first.target_path);
    assert.equal(registry.count('GET', sample.digest), 1);
    await daemon.artifacts.Remove({ reference: sample.reference });
  });
}

const ofLayers: Damages = {
  'a tar with other bytes': [layer => flip(join(layer, 'tar')), /its file tar has \d+ bytes of sha256/],
  'a tar that was cut': [layer => truncateSync(join(layer, 'tar'), 512), /its file tar has 512 bytes, not/],
  'a tar that all may write to': [layer => chmodSync(join(layer, 'tar'), 0o666), /its file tar has mode 666/],
  'no tar': [layer => rmSync(join(layer, 'tar')), /its file tar is missing/],
  'a table with other bytes': [
    layer => write(join(layer, 'toc'), '!', 0),
    /toc is damaged: its checksum does not match/,
  ],
  'no table': [layer => rmSync(join(layer, 'toc')), /its table of contents is missing/],
};

for (const [what, [damage, problem]] of Object.entries(ofLayers)) {
  test(`a layer of an image with ${what} is found, and pulled again`, async () => {
    for (const mend of ['repair', 'by a publish'] as const) {
      const sample = await push();
      const first = await publish(sample);
      const layer = join(node.stateDir, 'layers/tar', sample.digest.replace(':', '/'));
      damage(layer);
      if (mend === 'repair') {
        const [found, ...others] = await fsck();
        assert.deepEqual([found?.path, others], [layer, []]);
        assert.match(found?.problem ?? '', problem);
        assert.deepEqual(await fsck('repair'), [{ ...found, repaired: true }]);
      }
      const next = await publish(sample);
      verifyVolume(next.target_path, shownOf(sample.files));
      assert.equal(registry.count('GET', sample.digest), 2);
      assert.notEqual(deviceOf(next.target_path), deviceOf(first.target_path));
      for (const request of [next, first]) await daemon.csi.NodeUnpublishVolume(request);
      assert.deepEqual(await fsck('repair'), []);
      await daemon.artifacts.Remove({ reference: sample.reference });
    }
  });
}
