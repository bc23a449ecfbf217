import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { imageShownAt } from '../support/node/image-directory.ts';
import { tarOf } from '../support/oci/tar.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

/**
 * `node test/bench/reading.ts`: what it takes to read a volume, with the same content in a tar (an image, where the
 * kernel mounts one) and as files of the artifact (a tree of hard links): seconds and CPU seconds of `cat`, with nothing
 * in the page cache and again, and MiB in the page cache afterwards.
 */
const MiB = 1024 * 1024;

await using registry = await openFaultyRegistry();
await using node = await testNode([registry.host]);
await using daemon = await startDaemon(node, { flags: { '--log-level': 'info' } });

/** Runs a command on files, some thousands at a time. */
function onFiles(files: readonly string[], command: string) {
  const { stdout, stderr, status } = spawnSync('bash', ['-c', command], {
    input: files.join('\0'),
    encoding: 'utf8',
    maxBuffer: 1024 * MiB,
  });
  if (status !== 0) throw new Error(`${command}: ${stderr}`);
  return { stdout, stderr };
}

const filesIn = (directory: string): readonly string[] =>
  globSync('**', { cwd: directory, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name));

const forget = `xargs -0 python3 -c '
import os, sys
for path in sys.argv[1:]:
  file = os.open(path, os.O_RDONLY)
  if not os.fstatvfs(file).f_flag & os.ST_RDONLY: os.fsync(file)
  os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
  os.close(file)'`;
const read = "TIMEFORMAT='%R s, CPU %U + %S s'; time xargs -0 cat > /dev/null";
const cached = 'xargs -0 fincore --bytes --noheadings --output RES';

function cachedIn(files: readonly string[]): number {
  const each = onFiles(files, cached).stdout.split('\n');
  return Math.round(each.reduce((sum, size) => sum + Number(size), 0) / MiB);
}

for (const [what, count, size] of [
  ['one file of 512 MiB', 1, 512 * MiB],
  ['5,000 files of 4 KiB', 5_000, 4096],
] as const) {
  const bytes = randomBytes(size);
  const files = Array.from({ length: count }, (_, n) => ({ name: `d${n % 100}/${n}`, bytes }));
  const tar = await tarOf(files.map(file => [{ name: file.name }, file.bytes]));
  const kinds = {
    'in a tar': [{ bytes: tar, mediaType: 'application/vnd.acme.layer.v1.tar' }],
    // Equal blobs would be one inode.
    'as files': files.map((file, n) => {
      const own = Buffer.from(file.bytes);
      own.writeUInt32LE(n);
      return { name: file.name, bytes: own };
    }),
  };
  for (const [how, layers] of Object.entries(kinds)) {
    const { reference } = await registry.push(`${count}-${how.replaceAll(' ', '-')}`, 'v1', layers);
    const request = await publishRequest(node, { reference });
    await daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 300_000 });
    const shown = filesIn(request.target_path);
    const behind = how === 'in a tar' ? globSync(join(node.stateDir, 'layers/tar/sha256/*/tar')) : [];
    onFiles([...shown, ...behind], forget);
    const times = [1, 2].map(() => onFiles(shown, read).stderr.trim());
    const image = imageShownAt(node, request.target_path) === undefined ? 'a tree' : 'an image';
    const [inVolume, inTar] = [cachedIn(shown), behind.length === 0 ? 0 : cachedIn(behind)];
    console.log(
      `${what} ${how}, ${image}: first ${times[0]}, again ${times[1]}; ${inVolume} MiB cached in the volume, ${inTar} in the tar`,
    );
    await daemon.csi.NodeUnpublishVolume(request);
    await daemon.artifacts.Prune({});
  }
}
