import assert from 'node:assert/strict';
import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { mountDisk } from '../../../test/support/os/loop-disk.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { needs } from '../../../test/support/project/tools.ts';
import type { Dfdaemon, TaskNews } from '../../ports/dragonfly.ts';
import { ArtifactError } from '../../util/error.ts';
import { announcedOf, beginAnew, createFileState, sizeOf } from '../../util/growing-file.ts';
import type { FileTransfer } from '../api/file-part.ts';
import { toUpstream } from '../config/route.ts';
import { openHandover } from './handover.ts';

const size = 2 * 2 ** 20;
const content = Buffer.alloc(size, 7);
const never = new AbortController().signal;
const suite = new AsyncDisposableStack();
const options = needs('root', 'mkfs.xfs');
let disk: string;

before(async () => {
  const directory = suite.use(await temporaryDirectory());
  if (options.skip === false) disk = suite.use(mountDisk(directory.path, 'xfs')).path;
});
after(() => suite.disposeAsync());

const whole: readonly TaskNews[] = [
  { kind: 'size', bytes: size },
  { kind: 'piece', offset: size / 2, length: size / 2 },
  { kind: 'piece', offset: 0, length: size / 2 },
];

/** A handover from a dfdaemon that reports what the test says. */
function openWorld() {
  const world = { now: 7_200_000, asked: 0, news: whole, failure: undefined as ArtifactError | undefined };
  const dfdaemon: Dfdaemon = {
    async *download({ path }) {
      world.asked++;
      writeFileSync(path, content);
      yield* world.news;
      if (world.failure !== undefined) throw world.failure;
    },
  };
  const clock = { now: () => world.now, elapsed: () => world.now, random: () => 0, sleep: async () => {} };
  const handover = openHandover(
    dfdaemon,
    { directory: join(disk, 'handover'), isLinking: false },
    {
      authorizationOf: () => undefined,
      clock,
      onRest() {},
      stallMs: 1_000,
    },
  );
  /** Brings a blob, and returns what the owner of its file was told, with what the file had then. */
  const bring = async (registry = 'http://r.example') => {
    const fd = openSync(join(disk, 'ingest'), 'w+');
    using _closed = { [Symbol.dispose]: () => closeSync(fd) };
    const state = createFileState();
    const told: { readonly what: string; readonly said: number; readonly has: number }[] = [];
    const note = (what: string): void =>
      void told.push({ what, said: sizeOf(state), has: fstatSync(fd).size });
    const file = {
      fd,
      algorithm: 'sha256',
      state,
      grown: () => note('grown'),
      announced: (bytes: number) => note(`announced ${bytes}`),
      failed: () => assert.fail(),
    };
    const restart = (): void => {
      ftruncateSync(fd, 0);
      beginAnew(state);
    };
    const blob = {
      upstream: {
        ...toUpstream({ host: 'proxy.example', path: 'a/b', insecure: true }),
        headers: { 'x-dragonfly-registry': registry },
      },
      credential: { kind: 'anonymous' },
      descriptor: { digest: 'sha256:0', size },
      sink: { offset: 0, file, restart },
      transport: { hash: async () => undefined },
    };
    await handover.bring(blob as unknown as FileTransfer, never);
    const [bytes, read] = [sizeOf(state), readFileSync(join(disk, 'ingest'))];
    assert.deepEqual(read, content.subarray(0, bytes));
    assert.ok(announcedOf(state) === bytes);
    return { told, bytes };
  };
  return { world, handover, bring, [Symbol.dispose]: () => handover[Symbol.dispose]() };
}

test('bytes are said to have arrived when they are in the file, and announced before', options, async () => {
  using sample = openWorld();
  const { told, bytes } = await sample.bring();
  assert.equal(bytes, size);
  assert.ok(told.every(({ said, has }) => said <= has));
  assert.deepEqual(
    told.map(({ what, said }) => `${what}, ${said} here`),
    ['announced 0, 0 here', `announced ${size}, 0 here`, `grown, ${size} here`],
  );
});

test('the pieces of a download that fails are here when that is said', options, async () => {
  using sample = openWorld();
  const [start = assert.fail(), second = assert.fail(), first = assert.fail()] = whole;
  sample.world.news = [start, first];
  sample.world.failure = new ArtifactError('unavailable', 'the socket has gone');
  const { told, bytes } = await sample.bring();
  assert.equal(bytes, size / 2);
  assert.deepEqual(told.at(-1), { what: 'grown', said: size / 2, has: size / 2 });
  sample.world.now += 600_000;
  sample.world.news = [start, second];
  assert.equal((await sample.bring()).bytes, 0);
});

test('a registry that fails behind dfdaemon does not take its socket from others', options, async () => {
  using sample = openWorld();
  sample.world.failure = new ArtifactError('unavailable', 'dfdaemon: the registry answered 502');
  await sample.bring('http://evil.example');
  await sample.bring('http://evil.example');
  assert.equal(sample.world.asked, 1);
  assert.deepEqual(sample.handover.problems(), [
    "dfdaemon's socket is not used for http://evil.example until 1970-01-01T02:00:30Z: dfdaemon: the registry answered 502",
  ]);
  sample.world.failure = undefined;
  assert.equal((await sample.bring()).bytes, size);
});

test('a clock that is set back does not leave the socket unused for hours', options, async () => {
  using sample = openWorld();
  sample.world.failure = new ArtifactError('unavailable', 'the socket has gone');
  await sample.bring();
  sample.world.now = 0;
  sample.world.failure = undefined;
  assert.deepEqual(sample.handover.problems(), []);
  assert.equal((await sample.bring()).bytes, size);
});

test('a manifest with a wrong size does not take the socket from other blobs', options, async () => {
  using sample = openWorld();
  sample.world.news = [{ kind: 'size', bytes: size - 1 }];
  assert.equal((await sample.bring()).bytes, 0);
  assert.deepEqual(sample.handover.problems(), []);
  sample.world.news = whole;
  assert.equal((await sample.bring()).bytes, size);
});
