import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseMountinfo, selectBelow, showsImage, showsView } from './mountinfo.ts';

/** Escapes a path as the kernel does: show_path escapes " \t\n\\". */
function escape(path: string): string {
  return path.replaceAll(/[ \t\n\\]/g, char => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`);
}

const path = fc
  .array(
    fc.string({ unit: 'binary', minLength: 1 }).map(name => name.replaceAll(/[/\0]/g, '\\')),
    { minLength: 1 },
  )
  .map(names => `/${names.join('/')}`);
const entry = fc.record(
  {
    id: fc.nat(),
    device: fc.tuple(fc.nat(4095), fc.nat(1_048_575)).map(([major, minor]) => `${major}:${minor}`),
    root: path,
    dead: fc.boolean(),
    mountPoint: path,
    type: fc.constantFrom('ext4', 'erofs', 'fuse.lxcfs'),
    source: path,
  },
  { noNullPrototype: true },
);
const optional = fc.subarray(['shared:3', 'master:1', 'propagate_from:2', 'unbindable']);

test('every path the kernel can write is parsed back, with any number of optional fields', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(entry, optional)), rows => {
      const text = rows.map(([row, fields]) => {
        const root = escape(row.root) + (row.dead ? '//deleted' : '');
        const line = `${row.id} 1 ${row.device} ${root} ${escape(row.mountPoint)}`;
        return `${[line, 'ro,nosuid', ...fields].join(' ')} - ${row.type} ${escape(row.source)} rw\n`;
      });
      assert.deepEqual(
        parseMountinfo(text.join('')),
        rows.map(([row, fields]) => ({ ...row, shared: fields.includes('shared:3') })),
      );
    }),
  );
});

test('any text is parsed without an error, and an empty text has no mounts', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), text => void parseMountinfo(text)));
  assert.deepEqual(parseMountinfo(''), []);
});

test('the mounts of this machine include its root', () => {
  const entries = parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'));
  assert.ok(entries.some(({ mountPoint, dead }) => mountPoint === '/' && !dead));
});

const node = parseMountinfo(`\
21 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
40 21 259:9 /state /var/lib/oci-artifact-csi rw,relatime shared:7 - xfs /dev/nvme1n1 rw
41 21 0:30 / /var/lib/kubelet/pods/a/volumes/token rw - tmpfs tmpfs rw
50 21 259:9 /state/views/k1 /var/lib/kubelet/pods/a/mount ro,nosuid,nodev shared:8 - xfs /dev/nvme1n1 rw
51 21 259:9 /state/views/k2//deleted /var/lib/kubelet/pods/b/my\\040mount ro,nosuid,nodev shared:9 - xfs /dev/nvme1n1 rw
52 21 259:9 /state/viewsight/k3 /mnt/similar ro - xfs /dev/nvme1n1 rw
53 21 259:9 /state/views /mnt/all ro - xfs /dev/nvme1n1 rw
54 21 259:2 /state/views/k1 /mnt/other-disk ro - ext4 /dev/nvme0n1p2 rw
60 21 0:55 / /var/lib/kubelet/pods/c/mount ro,nosuid,nodev - erofs /var/lib/oci-artifact-csi/views/k4.erofs/01234567-89ab-cdef-0123-456789abcdef ro
61 21 0:56 / /var/lib/kubelet/pods/d/mount ro - erofs /srv/images/views/k4 ro
62 21 0:55 /d /mnt/part ro - erofs /var/lib/oci-artifact-csi/views/k4.erofs/01234567-89ab-cdef-0123-456789abcdef ro
63 21 0:57 /views/k5 /mnt/host ro - erofs /dev/sda1 ro
`);

test('mounts of views are found by filesystem and path in it, dead ones with their former path', () => {
  const views = '/var/lib/oci-artifact-csi/views';
  assert.deepEqual(selectBelow(node, views, views, 40), [
    { target: '/var/lib/kubelet/pods/a/mount', source: `${views}/k1`, dead: false },
    { target: '/var/lib/kubelet/pods/b/my mount', source: `${views}/k2`, dead: true },
  ]);
});

test('sources are spelled as the caller spells the directory, whatever its real path', () => {
  const real = '/var/lib/oci-artifact-csi/views';
  assert.deepEqual(
    selectBelow(node, '/state-link/views', real, 40).map(({ source }) => source),
    ['/state-link/views/k1', '/state-link/views/k2'],
  );
});

test('mounts of images are known by the path that the image had, and those of other images are no views', () => {
  assert.deepEqual(
    node.filter(showsImage).map(({ id }) => id),
    [60],
  );
  assert.deepEqual(
    node.filter(showsView).map(({ id }) => id),
    [50, 51, 54, 60],
  );
});

test('a directory on the root of a filesystem is found too', () => {
  const entries = parseMountinfo(
    '9 1 8:1 / / rw - ext4 /dev/sda1 rw\n10 9 8:1 /views/k /t ro - ext4 /dev/sda1 rw\n',
  );
  assert.deepEqual(selectBelow(entries, '/views', '/views', 9), [
    { target: '/t', source: '/views/k', dead: false },
  ]);
});

test('a directory whose own mount is unknown is an error, never "nothing is mounted"', () => {
  assert.throws(
    () => selectBelow(node, '/views', '/views', 999),
    /mount 999.*not in \/proc\/self\/mountinfo/,
  );
});
