import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openMachine } from '../support/cluster/machine.ts';
import { bootScript, makeRoot } from '../support/cluster/root.ts';
import { listMounts } from '../support/os/mounts.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs } from '../support/project/tools.ts';

const programs = needs('root', 'unshare', 'nsenter', 'ip', 'bash');

const cgroups = (): readonly string[] => globSync('/sys/fs/cgroup/{,unified/}oci-artifact-csi-*');

/** The processes whose command line contains a text. */
function processesWith(text: string): readonly string[] {
  return globSync('/proc/[0-9]*/cmdline').filter(path => {
    try {
      return readFileSync(path, 'utf8').includes(text);
    } catch {
      return false; // it ended meanwhile
    }
  });
}

test(
  'a machine leaves nothing behind when its power is cut, and boots again from its disk',
  programs,
  async () => {
    await using directory = await temporaryDirectory();
    const root = join(directory.path, 'root');
    await makeRoot(root);
    const before = { mounts: listMounts(), cgroups: cgroups() };
    const mark = `100000.${process.pid}`;
    {
      await using machine = await openMachine(root, bootScript(root));
      await machine.start('sleeper', 'sleep', [mark]);
      await machine.run('sh', [
        '-c',
        'mkdir /sys/fs/cgroup/pod; mount -t tmpfs tmpfs /mnt; echo kept > /var/lib/file',
      ]);
      assert.ok(processesWith(mark).length > 0);
      assert.equal(cgroups().length, before.cgroups.length + 1);
      assert.deepEqual(listMounts(), before.mounts);
    }
    assert.deepEqual(processesWith(mark), []);
    assert.deepEqual(cgroups(), before.cgroups);
    assert.deepEqual(listMounts(), before.mounts);

    await using machine = await openMachine(root, bootScript(root));
    assert.equal(await machine.run('cat', ['/var/lib/file']), 'kept\n');
  },
);

test('a machine has files, a name and tunables of its own', programs, async () => {
  await using directory = await temporaryDirectory();
  const root = join(directory.path, 'root');
  await makeRoot(root);
  await using machine = await openMachine(root, bootScript(root));
  assert.equal(
    await machine.run('ls', ['/etc']),
    'group\nhosts\nkubernetes\nos-release\npasswd\nresolv.conf\n',
  );
  assert.equal(await machine.run('hostname', []), 'node1\n');
  const tunable = 'vm/overcommit_memory';
  const ours = readFileSync(`/proc/sys/${tunable}`, 'utf8');
  await machine.run('sh', ['-c', `echo 2 > /proc/sys/${tunable}`]);
  assert.equal(readFileSync(`/proc/sys/${tunable}`, 'utf8'), ours);
});

test('a service ends when it is stopped', programs, async () => {
  await using directory = await temporaryDirectory();
  const root = join(directory.path, 'root');
  await makeRoot(root);
  await using machine = await openMachine(root, bootScript(root));
  const service = await machine.start('sleeper', 'sh', ['-c', 'echo started; exec sleep 1000']);
  assert.ok(service.alive());
  await service.stop();
  assert.ok(!service.alive());
  assert.equal(readFileSync(join(root, 'var/log/sleeper.log'), 'utf8'), 'started\n');
});
