import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  cpSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openMounter } from '../src/mount/mounter.ts';
import { setXattr } from '../src/util/libc.ts';
import { runContainer } from './support/bundle.ts';
import { findHarmful } from './support/harmless.ts';
import { kubeletFolder } from './support/kubelet-folder.ts';

/** What a process may try on a volume at $1, each as one line of shell. */
const changes = {
  write: 'echo altered > $1/model.txt',
  append: 'echo altered >> $1/model.txt',
  truncate: 'truncate -s 0 $1/model.txt',
  chmod: 'chmod 4777 $1/model.txt',
  'chmod of the root': 'chmod 777 $1',
  chown: 'chown 1000 $1/model.txt',
  'touch (utimensat)': 'touch -d 2000-01-01 $1/model.txt',
  create: 'touch $1/new',
  mkdir: 'mkdir $1/newdir',
  link: 'ln $1/model.txt $1/linked',
  symlink: 'ln -s model.txt $1/symlinked',
  mknod: 'mknod $1/null c 1 3',
  'write by way of a symlink': 'echo altered > $1/latest',
  rename: 'mv $1/model.txt $1/renamed',
  remove: 'rm $1/folder/tokens.json',
} as const;

/** What needs CAP_SYS_ADMIN, tried without it, and with it in a user namespace of one's own. */
const remounts = {
  remount: 'mount -o remount,rw,bind $1 $1',
  'remount of the file system': 'mount -o remount,rw $1',
  unmount: 'umount $1',
  'another bind mount': 'mount --bind $1 /tmp && echo altered > /tmp/model.txt',
  'remount in a user namespace': 'unshare -Urm mount -o remount,rw,bind $1 $1',
} as const;

/** A script that tries all on a volume and prints `name: done`, or `name: ` and why not. */
function attempts(tries: Readonly<Record<string, string>>, at: string): string {
  return Object.entries(tries)
    .map(([name, line]) => `echo "${name}: $(sh -c '(${line}) 2>&1 && echo done' sh ${at} | tr '\\n' ' ')";`)
    .join('\n');
}

/** Each attempt's name and what came of it. */
function parseAttempts(output: string): [name: string, outcome: string][] {
  return output
    .trim()
    .split('\n')
    .map(line => {
      const at = line.indexOf(': ');
      return [line.slice(0, at), line.slice(at + 2).trim()];
    });
}

for (const runtime of ['runc', 'crun'] as const) {
  test(`root in a container of ${runtime}, with default capabilities, cannot change its volume`, async () => {
    await using node = await kubeletFolder();
    using mounter = openMounter(node);
    mkdirSync(join(node.view, 'folder'));
    writeFileSync(join(node.view, 'folder/tokens.json'), '{}');
    symlinkSync('model.txt', join(node.view, 'latest'));
    const control = join(node.path, 'control');
    cpSync(node.view, control, { recursive: true, verbatimSymlinks: true });
    const before = list(node.view);
    await mounter.mount(node.view, node.target, []);

    const mounts = [
      { source: node.target.path, destination: '/volume', options: ['rbind', 'rprivate', 'ro'] },
      { source: control, destination: '/control', options: ['rbind', 'rprivate', 'rw'] },
    ];
    const run = (script: string): string => runContainer(runtime, node.path, mounts, script);
    assert.match(run('cat /volume/latest /volume/folder/tokens.json'), /^weights\{\}$/);
    for (const [name, why] of parseAttempts(run(attempts(changes, '/volume')))) {
      assert.match(why, /Read-only file system$/, name);
    }
    for (const [name, why] of parseAttempts(run(attempts(remounts, '/volume')))) {
      assert.match(why, /(?:Operation not permitted|[Pp]ermission denied)/, name);
      assert.doesNotMatch(why, /done/, name);
    }
    assert.deepEqual(list(node.view), before);
    assert.deepEqual(list(node.target.path), before);
    assert.deepEqual(findHarmful(node.target.path), []);

    const possible = parseAttempts(run(attempts(changes, '/control')));
    assert.deepEqual(
      possible.filter(([, why]) => why !== 'done'),
      [],
      'on a folder that is not protected all of it succeeds',
    );
  });
}

test('a setuid bit, a device and a file capability are found in a tree', async () => {
  await using node = await kubeletFolder();
  const file = join(node.view, 'model.txt');
  chmodSync(file, 0o4755);
  const fd = openSync(file, 'r');
  setXattr(fd, 'security.capability', Uint8Array.of(0, 0, 0, 2, ...new Uint8Array(16)));
  closeSync(fd);
  spawnSync('mknod', [join(node.view, 'null'), 'c', '1', '3']);
  assert.deepEqual(findHarmful(node.view).sort(), [
    'model.txt: a setuid or setgid bit',
    'model.txt: security.capability',
    'null: neither a file, a folder nor a symlink',
  ]);
});

/** Every entry of a tree with all that a change would alter. */
function list(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map(name => {
      const { mode, uid, size, mtimeMs, nlink } = lstatSync(join(folder, name));
      const content = name === 'folder' ? '' : readFileSync(join(folder, name), 'utf8');
      return [name, mode.toString(8), uid, size, mtimeMs, nlink, content].join(' ');
    });
}
