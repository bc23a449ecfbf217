import assert from 'node:assert/strict';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startChild, waitUntil } from '../../test/support/node/child.ts';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { getXattr } from '../linux/xattr.ts';
import { openDirectory } from './files/directory.ts';
import { openFormat } from './format.ts';
import { openStore } from './store.ts';

test('a new state directory is created with its parents, for root alone', async () => {
  await using directory = await temporaryDirectory();
  const stateDir = join(directory.path, 'var/lib/cache');
  await using _store = await openStore({ stateDir });
  assert.equal(statSync(stateDir).mode & 0o7777, 0o700);
  assert.equal(readFileSync(join(stateDir, 'format'), 'utf8'), '1\n');
});

test('an empty state directory that another program created is closed to others when it is claimed', async () => {
  await using directory = await temporaryDirectory();
  chmodSync(directory.path, 0o755);
  await using _store = await openStore({ stateDir: directory.path });
  assert.equal(statSync(directory.path).mode & 0o7777, 0o700);
});

test('the SELinux label is set when the state directory is new and SELinux is on, and not again', async () => {
  await using directory = await temporaryDirectory();
  const labelOf = (path: string): string | undefined => {
    const fd = openSync(path, 'r');
    const value = getXattr(fd, 'security.selinux');
    closeSync(fd);
    return value && Buffer.from(value).toString();
  };
  const selinuxLabel = 'system_u:object_r:container_file_t:s0';
  for (const [name, label, selinuxDirectory] of [
    ['on', selinuxLabel, directory.path],
    ['off', selinuxLabel, join(directory.path, 'absent')],
    ['unasked', undefined, directory.path],
  ] as const) {
    const stateDir = join(directory.path, name);
    await (await openStore({ stateDir, selinuxLabel: label, selinuxDirectory }))[Symbol.asyncDispose]();
    await (await openStore({ stateDir, selinuxLabel: 'later', selinuxDirectory: directory.path }))[
      Symbol.asyncDispose
    ]();
    assert.equal(labelOf(stateDir), name === 'on' ? `${selinuxLabel}\0` : undefined, name);
  }
});

test('a layout of a newer program is refused, and so is one without a number', async () => {
  await using directory = await temporaryDirectory();
  for (const [content, message] of [
    ['2\n', /layout version 2, and this program knows up to 1: run a newer one/],
    ['one', /contains no version number/],
  ] as const) {
    writeFileSync(join(directory.path, 'format'), content);
    await assert.rejects(openStore({ stateDir: directory.path }), { code: 'invalid', message });
  }
  writeFileSync(join(directory.path, 'format'), '1\n');
  await using _store = await openStore({ stateDir: directory.path });
});

test('an older layout is migrated one version at a time, and a failed migration is run again', async () => {
  await using directory = await temporaryDirectory();
  await using root = await openDirectory(directory.path);
  const ran: number[] = [];
  const step = (version: number) => async () => void ran.push(version);
  const fail = async (): Promise<void> => {
    throw new Error('power cut');
  };
  await openFormat(root, [step(1)]);
  await assert.rejects(openFormat(root, [step(1), step(2), fail]), /power cut/);
  await openFormat(root, [step(1), step(2), step(3)]);
  await openFormat(root, [step(1), step(2), step(3)]);
  assert.deepEqual(ran, [1, 2, 3]);
  await assert.rejects(openFormat(root, [step(1), step(2)]), /layout version 3/);
});

test('of two processes one gets the state directory, and the other reports its holder, until that one is killed', async () => {
  await using directory = await temporaryDirectory();
  const script = `
    const { openStore } = await import(${JSON.stringify(new URL('./store.ts', import.meta.url).href)});
    const store = await openStore({ stateDir: ${JSON.stringify(directory.path)} });
    console.log('open');
    setInterval(() => store, 1000);`;
  await using child = await startChild(process.execPath, ['--input-type=module', '-e', script]);
  await waitUntil(child, () => child.output().includes('open'), 'the store was open');
  await assert.rejects(openStore({ stateDir: directory.path }), {
    code: 'busy',
    message: new RegExp(`^${directory.path} is in use by process ${child.pid} on .* stop it and try again$`),
  });
  await child.end('SIGKILL');
  await using _store = await openStore({ stateDir: directory.path });
});

test('within one process, too, a state directory is opened once at a time', async () => {
  await using directory = await temporaryDirectory();
  {
    await using _store = await openStore({ stateDir: directory.path });
    await assert.rejects(openStore({ stateDir: directory.path }), { code: 'busy' });
  }
  await using _again = await openStore({ stateDir: directory.path });
});

test('the next start removes what a crash left incomplete, and nothing else', async () => {
  await using directory = await temporaryDirectory();
  const path = (name: string): string => join(directory.path, name);
  await (await openStore({ stateDir: directory.path }))[Symbol.asyncDispose]();
  mkdirSync(path('tmp/half/deep'), { recursive: true });
  writeFileSync(path('tmp/half/deep/file'), 'x');
  writeFileSync(path('tmp/record'), 'x');
  mkdirSync(path('views/.without-key'));
  writeFileSync(path('views/without-view.json'), '{}');
  mkdirSync(path('views/whole'));
  writeFileSync(path('views/whole.json'), '{}');
  const dayAndMore = Date.now() / 1000 - 24 * 3600 - 60;
  writeFileSync(path('ingest/sha256-old'), 'x');
  utimesSync(path('ingest/sha256-old'), dayAndMore, dayAndMore);
  writeFileSync(path('ingest/sha256-new'), 'x');

  await using _store = await openStore({ stateDir: directory.path });
  assert.deepEqual((await readdir(path('views'))).toSorted(), ['whole', 'whole.json']);
  assert.deepEqual(await readdir(path('ingest')), ['sha256-new']);
  while ((await readdir(path('tmp'))).length > 0) await sleep(5);
});

test('a file in the place of a state directory, or above it, is refused by its flag', async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'file');
  writeFileSync(file, '');
  for (const stateDir of [file, join(file, 'state')]) {
    await assert.rejects(openStore({ stateDir }), {
      code: 'invalid',
      message:
        /invalid state directory ".*file.*": it, or a part of its path, is a file; correct --state-dir$/,
    });
  }
});

test('a state directory of another user is refused with what to do', async () => {
  await using directory = await temporaryDirectory();
  await (await openStore({ stateDir: join(directory.path, 'state') }))[Symbol.asyncDispose]();
  chmodSync(directory.path, 0o755);
  process.seteuid?.(65_534);
  try {
    for (const stateDir of [join(directory.path, 'state'), join(directory.path, 'none/state')]) {
      await assert.rejects(openStore({ stateDir }), {
        code: 'denied',
        message:
          /the state directory .*state is not this user's \(EACCES\): run this as root, or name .*--state-dir/,
      });
    }
  } finally {
    process.seteuid?.(0);
  }
});
