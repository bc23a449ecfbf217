import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { openImageReread } from './image-reread.ts';

const absent = Object.assign(new Error('absent'), { code: 'ENOENT' });

test('calls of one image share a run, and one that comes during a run gets the next one', async () => {
  const drops: PromiseWithResolvers<void>[] = [];
  const devices: string[] = [];
  const drop = async (_image: string, device: string): Promise<void> => {
    devices.push(device);
    drops.push(Promise.withResolvers());
    await drops.at(-1)?.promise;
  };
  const reread = openImageReread(drop, image => (image === '/views/a.erofs' ? '0:7' : '0:8'));
  const first = reread('/views/a.erofs');
  const [second, third] = [reread('/views/a.erofs'), reread('/views/a.erofs')];
  const other = reread('/views/b.erofs');
  assert.deepEqual(devices, ['0:7', '0:8']);
  drops[1]?.resolve();
  await other;
  let isOver = false;
  void second.then(() => (isOver = true));
  drops[0]?.resolve();
  await first;
  await setImmediate();
  assert.deepEqual([devices, isOver], [['0:7', '0:8', '0:7'], false]);
  drops[2]?.resolve();
  await Promise.all([second, third]);
  assert.equal(devices.length, 3);
});

test('a mount is looked up once, and again when its device is gone', async () => {
  let device: string | undefined = '0:7';
  let lookedUp = 0;
  const dropped: string[] = [];
  const find = (): string | undefined => {
    lookedUp++;
    return device;
  };
  const reread = openImageReread(async (_image, of) => {
    dropped.push(of);
    if (of !== device) throw absent;
  }, find);
  await reread('/views/a.erofs');
  await reread('/views/a.erofs');
  assert.equal(lookedUp, 1);
  device = undefined;
  await reread('/views/a.erofs'); // it is no longer mounted
  await reread('/views/a.erofs');
  assert.deepEqual(dropped, ['0:7', '0:7', '0:7']);
  device = '0:9';
  await reread('/views/a.erofs');
  assert.equal(dropped.at(-1), '0:9');
});

test('a mount that the kernel does not let be read again is an error', async () => {
  const reread = openImageReread(
    () => Promise.reject(absent),
    () => '0:7',
  );
  await assert.rejects(reread('/views/a.erofs'), absent);
});
