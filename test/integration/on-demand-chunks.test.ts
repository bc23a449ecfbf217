import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { chunksAnnotation } from '../../src/oci/chunk-list.ts';
import { chunkListType } from '../../src/oci/plan.ts';
import { listed } from '../support/late/chunk-list.ts';
import { publishRequest, startDaemon, type TestDaemon, testNode } from '../support/node/daemon.ts';
import { sha256 } from '../support/oci/tar.ts';
import { unmountBelow } from '../support/os/mounts.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { basic } from '../support/registry/guarded-registry.ts';

const registry = await openFaultyRegistry();
after(() => registry[Symbol.asyncDispose]());
const mib = 1024 * 1024;
const [file, size] = ['model.gguf', 16 * mib + 1234];
const patience = { flags: { '--on-demand-patience': '2s' } } as const;
let pushed = 0;

type Layers = Parameters<typeof registry.push>[2];
type Rule = Parameters<typeof registry.fault>[0];
type Fault = ReturnType<Rule>;

async function push(layers: Layers): Promise<{ readonly reference: string }> {
  registry.reset();
  return await registry.push(`chunks-${pushed++}`, 'v1', layers);
}

/** The first byte of a range of a blob that was asked for; undefined for any other request. */
function startOf({ path, headers }: Parameters<Rule>[0], bytes: Buffer): number | undefined {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? [];
  return path.endsWith(sha256(bytes)) && to !== '0' && from !== undefined ? Number(from) : undefined;
}

/** Spoils answers to requests for chunks. */
function spoil(bytes: Buffer, faultOf: (chunk: number) => Fault): void {
  registry.fault(asked => {
    const from = startOf(asked, bytes);
    return from === undefined ? undefined : faultOf(Math.floor(from / mib));
  });
}

const heal = (): void => registry.fault(() => undefined);
const stalled = { kind: 'stall', after: 1000 } as const;
const away = { kind: 'status', status: 404 } as const;

async function publish(daemon: TestDaemon, { reference }: { readonly reference: string }) {
  const request = await publishRequest(daemon.node, { reference, loading: 'onDemand' });
  await daemon.csi.NodePublishVolume(request);
  return request;
}

/** Reads 4 KiB in a process of its own: their digest, or the error. */
function readPage(path: string, page: number): Promise<string> {
  return new Promise(resolve => {
    const command = `set -o pipefail; dd if="$1" bs=4096 skip=${page} count=1 status=none | sha256sum`;
    const options = { timeout: 30_000, killSignal: 'SIGKILL' } as const;
    execFile('bash', ['-c', command, '-', path], options, (error, stdout, stderr) =>
      resolve(error === null ? `sha256:${stdout.split(' ')[0]}` : error.killed ? 'killed' : stderr.trim()),
    );
  });
}

const pageOf = (bytes: Buffer, page: number): string =>
  sha256(bytes.subarray(page * 4096, (page + 1) * 4096));
const pagesOfChunk = mib / 4096;

async function readAll(path: string): Promise<string> {
  return await new Promise(resolve => {
    execFile('sha256sum', [path], { timeout: 30_000, killSignal: 'SIGKILL' }, (error, stdout, stderr) =>
      resolve(error === null ? `sha256:${stdout.split(' ')[0]}` : stderr.trim()),
    );
  });
}

async function loadingOf({ artifacts }: TestDaemon, target: string) {
  const { volumes } = await artifacts.ListVolumes({});
  return volumes.find(({ target_path }) => target_path === target)?.loading;
}

async function waitFor(what: string, is: () => Promise<boolean>): Promise<void> {
  const until = Date.now() + 40_000;
  while (!(await is())) {
    assert.ok(Date.now() < until, what);
    await sleep(50);
  }
}

const isComplete = async (daemon: TestDaemon, target: string): Promise<boolean> => {
  const loading = await loadingOf(daemon, target);
  return loading != null && loading.total_bytes > 0 && loading.bytes === loading.total_bytes;
};

const blobOf = (stateDir: string, bytes: Buffer): string =>
  join(stateDir, 'blobs', 'sha256', sha256(bytes).slice('sha256:'.length));

test('a read far inside a file gets its chunk while no other one comes', async () => {
  await using node = await testNode([registry.host]);
  const bytes = randomBytes(size);
  const sample = await push([{ name: 'config.json', bytes: Buffer.from('{}') }, ...listed(file, bytes)]);
  await using daemon = await startDaemon(node);
  spoil(bytes, chunk => (chunk === 12 ? undefined : stalled));
  const { target_path: target } = await publish(daemon, sample);
  assert.deepEqual(readdirSync(target).toSorted(), ['config.json', file]);
  const page = 12 * pagesOfChunk + 7;
  assert.equal(await readPage(join(target, file), page), pageOf(bytes, page));
  const { bytes: here = 0, waiting_reads: waiting } = (await loadingOf(daemon, target)) ?? {};
  assert.ok(here <= 3 * mib, String(here));
  assert.equal(waiting, 0);
  heal();
});

test('all chunks come once, the file becomes the blob, and later volumes show the ordinary view', async () => {
  await using node = await testNode([registry.host]);
  const bytes = randomBytes(size);
  const sample = await push(listed(file, bytes));
  await using daemon = await startDaemon(node);
  const { target_path: target } = await publish(daemon, sample);
  assert.equal(await readAll(join(target, file)), sha256(bytes));
  await waitFor('complete', () => isComplete(daemon, target));
  assert.equal(registry.sent(sha256(bytes)), size + 1); // a byte shows that the registry sends ranges
  let later = await publish(daemon, sample);
  await waitFor('the ordinary view', async () => {
    if ((await loadingOf(daemon, later.target_path)) === null) return true;
    later = await publish(daemon, sample);
    return false;
  });
  assert.equal(statSync(join(later.target_path, file)).nlink, 3); // with the blob and the late view
  assert.equal(await readAll(join(later.target_path, file)), sha256(bytes));
  for await (const { finding } of daemon.streams.Fsck({})) assert.ok(!finding);
});

/** Holds back the chunks of a file until the returned function is called. */
function holdBack(bytes: Buffer): () => void {
  const { promise: until, resolve } = Promise.withResolvers<void>();
  spoil(bytes, () => ({ kind: 'hold', after: 0, until }));
  return resolve;
}

async function publishFully(daemon: TestDaemon, { reference }: { readonly reference: string }) {
  const request = await publishRequest(daemon.node, { reference });
  await daemon.csi.NodePublishVolume(request);
  return request.target_path;
}

test('a volume that is loaded fully waits for chunks that come already, and nothing comes twice', async () => {
  await using node = await testNode([registry.host]);
  const bytes = randomBytes(size);
  const sample = await push(listed(file, bytes));
  await using daemon = await startDaemon(node);
  const letCome = holdBack(bytes);
  await publish(daemon, sample);
  const full = publishFully(daemon, sample);
  await waitFor('a second pull that waits for bytes', async () => {
    const { pulls } = await daemon.artifacts.ListPulls({});
    return pulls.length === 2 && pulls.every(({ progress }) => progress?.phase === 'DOWNLOAD');
  });
  letCome();
  const target = await full;
  assert.equal(registry.sent(sha256(bytes)), size + 1); // a byte shows that the registry sends ranges
  assert.equal(await loadingOf(daemon, target), null);
  assert.equal(await readAll(join(target, file)), sha256(bytes));
});

test('a volume that is loaded fully does not wait for chunks that fail', async () => {
  await using node = await testNode([registry.host]);
  const bytes = randomBytes(size);
  const sample = await push(listed(file, bytes));
  await using daemon = await startDaemon(node);
  spoil(bytes, () => away);
  const { target_path: late } = await publish(daemon, sample);
  const target = await publishFully(daemon, sample);
  assert.equal(await readAll(join(target, file)), sha256(bytes));
  await waitFor('the other one has it, too', () => isComplete(daemon, late));
  heal();
});

test('after its pull is cancelled only what is read comes, until somebody wants all of it', async () => {
  await using node = await testNode([registry.host]);
  const bytes = randomBytes(size);
  const sample = await push(listed(file, bytes));
  await using daemon = await startDaemon(node);
  const letCome = holdBack(bytes);
  const { target_path: target } = await publish(daemon, sample);
  const asked = (): readonly number[] => registry.asked.flatMap(one => startOf(one, bytes) ?? []);
  await waitFor('chunks are asked for', async () => asked().length >= 4);
  assert.equal((await daemon.artifacts.CancelPull(sample)).pulls, 1);
  await assert.rejects(daemon.artifacts.CancelPull(sample), /no pull of \S+ is under way/);
  registry.reset();
  letCome();
  const page = 12 * pagesOfChunk + 7;
  assert.equal(await readPage(join(target, file), page), pageOf(bytes, page));
  assert.deepEqual(asked(), [12 * mib]);
  // A read is answered before its bytes are counted.
  await waitFor('a chunk is counted', async () => ((await loadingOf(daemon, target))?.bytes ?? 0) > 0);
  const { bytes: here, stopped, problem } = (await loadingOf(daemon, target)) ?? assert.fail();
  assert.deepEqual([here, stopped, problem], [mib, true, '']);
  await publishFully(daemon, sample);
  await waitFor('complete', () => isComplete(daemon, target));
  const after = await loadingOf(daemon, target);
  assert.deepEqual([after?.problem ?? '', after?.stopped ?? false], ['', false]);
  assert.equal(asked().filter(from => from === 12 * mib).length, 1);
});

test('a daemon that is killed leaves the chunks that are here, and the next one brings only the others', async () => {
  await using node = await testNode([registry.host]);
  const bytes = randomBytes(size);
  const sample = await push(listed(file, bytes));
  let path: string;
  let target: string;
  const had = new Set<number>();
  {
    await using daemon = await startDaemon(node, patience);
    spoil(bytes, chunk => (chunk % 2 === 0 ? undefined : away));
    target = (await publish(daemon, sample)).target_path;
    path = join(target, file);
    for (const chunk of [2, 4, 10]) {
      const page = chunk * pagesOfChunk;
      assert.equal(await readPage(path, page), pageOf(bytes, page));
      had.add(chunk);
    }
    assert.match(await readPage(path, 5 * pagesOfChunk + 3), /Input\/output error/);
  }
  for (const chunk of had) {
    const page = chunk * pagesOfChunk + 200;
    assert.equal(await readPage(path, page), pageOf(bytes, page));
  }
  assert.match(await readPage(path, 7 * pagesOfChunk), /Input\/output error/);
  registry.reset();
  await using daemon = await startDaemon(node, patience);
  await waitFor('complete', () => isComplete(daemon, target));
  const again = registry.asked.flatMap(asked => startOf(asked, bytes) ?? []).map(from => from / mib);
  assert.deepEqual(
    again.filter(chunk => had.has(chunk)),
    [],
  );
  assert.ok(again.includes(7));
  assert.equal(await readAll(path), sha256(bytes));
  assert.ok(existsSync(blobOf(node.stateDir, bytes)));
});

test('a chunk of which no source has the listed digest is never shown, and the others are', async () => {
  await using node = await testNode([registry.host]);
  const bytes = randomBytes(size);
  const other = Buffer.from(bytes);
  other.fill(0, 3 * mib, 3 * mib + 100);
  const layers = listed(file, bytes, other);
  const sample = await push(layers);
  await using daemon = await startDaemon(node, patience);
  const { target_path: target } = await publish(daemon, sample);
  const path = join(target, file);
  assert.match(await readPage(path, 3 * pagesOfChunk), /Input\/output error/);
  assert.equal(await readPage(path, 9 * pagesOfChunk), pageOf(bytes, 9 * pagesOfChunk));
  await waitFor('it says why', async () =>
    /not in the list/.test((await loadingOf(daemon, target))?.problem ?? ''),
  );
  const full = await publishRequest(node, { reference: sample.reference });
  await daemon.csi.NodePublishVolume(full);
  assert.equal(await readAll(join(full.target_path, file)), sha256(bytes));
});

test('a list whose chunks are together another file makes all of it fail, and nothing of it is stored', async () => {
  await using node = await testNode([registry.host]);
  const bytes = randomBytes(size);
  const wrong = Buffer.from(bytes.map(byte => byte ^ 0xff));
  const [layer, list] = listed(file, bytes, wrong);
  const sample = await push([layer, list]);
  const isChunk = (asked: Parameters<Rule>[0]) => startOf(asked, bytes) !== undefined;
  registry.fault(asked => (isChunk(asked) ? { kind: 'wrong-bytes' } : undefined));
  await using daemon = await startDaemon(node, patience);
  const request = await publish(daemon, sample);
  const { target_path: target, volume_id } = request;
  const problem = async () => (await loadingOf(daemon, target))?.problem ?? '';
  await waitFor('it says so', async () => /chunk list sha256:\w+ lies/.test(await problem()));
  assert.match(await problem(), new RegExp(`${sha256(list.bytes)}.*${sha256(bytes)}`));
  assert.match(await readPage(join(target, file), 5 * pagesOfChunk), /Input\/output error/);
  const { volume_condition } = await daemon.csi.NodeGetVolumeStats({ volume_id, volume_path: target });
  assert.match(volume_condition?.message ?? '', /lies/);
  assert.ok(!existsSync(blobOf(node.stateDir, bytes)));
  heal();
  const later = await publish(daemon, sample);
  assert.equal(await readAll(join(later.target_path, file)), sha256(bytes));
  assert.match(daemon.output(), /is loaded as a whole: its chunk list .* lied before/);
});

test('without ranges, or with a list that cannot be used, a layer is loaded as a whole, and the log says why', async () => {
  const bytes = randomBytes(size);
  const [layer, list] = listed(file, bytes);
  const torn = { ...list, bytes: list.bytes.subarray(0, -1) };
  const naming = (of: Uint8Array) => ({ ...layer, annotations: { [chunksAnnotation]: sha256(of) } });
  const large = { name: 'large', bytes: randomBytes(4 * mib + 1), mediaType: chunkListType };
  const noRange: Rule = () => ({ kind: 'no-range' });
  const cases: readonly (readonly [Layers, RegExp, Rule?, (readonly [string, string])?])[] = [
    [[layer, list], /does not send ranges/, noRange],
    [[naming(torn.bytes), torn], /bytes where its chunks need/],
    [[naming(large.bytes), large], /4\.0 MiB are the most/],
    [[layer], /its manifest has no layer of the type/],
    [[layer, { ...list, mediaType: 'application/x' }], /its manifest has no layer of the type/],
    [[layer, list], /^$/, () => undefined, ['--chunk-lists', 'none']],
  ];
  for (const [layers, why, rule, flag] of cases) {
    await using node = await testNode([registry.host]);
    const sample = await push(layers);
    if (rule) registry.fault(rule);
    await using daemon = await startDaemon(node, { flags: Object.fromEntries(flag ? [flag] : []) });
    const { target_path: target } = await publish(daemon, sample);
    assert.equal(await readAll(join(target, file)), sha256(bytes), String(why));
    const [said = ''] = /^.*is loaded as a whole.*$/m.exec(daemon.output()) ?? [];
    assert.match(said, why);
    assert.deepEqual(
      registry.asked.filter(asked => (startOf(asked, bytes) ?? 0) > 0),
      [],
    );
  }
});

test('a registry that no longer sends ranges sends the whole, and what is shown stays', async () => {
  await using node = await testNode([registry.host]);
  const bytes = randomBytes(size);
  const sample = await push(listed(file, bytes));
  await using daemon = await startDaemon(node, patience);
  spoil(bytes, chunk => (chunk < 4 ? undefined : { kind: 'no-range' }));
  const { target_path: target } = await publish(daemon, sample);
  assert.equal(await readAll(join(target, file)), sha256(bytes));
  await waitFor('complete', () => isComplete(daemon, target));
});

test('without a network a read fails within the patience, and the next one succeeds when it is back', async () => {
  await using node = await testNode([registry.host]);
  const bytes = randomBytes(size);
  const sample = await push(listed(file, bytes));
  await using daemon = await startDaemon(node, patience);
  spoil(bytes, () => stalled);
  const { target_path: target } = await publish(daemon, sample);
  const path = join(target, file);
  const begun = Date.now();
  assert.match(await readPage(path, 9 * pagesOfChunk), /Input\/output error/);
  const took = Date.now() - begun;
  assert.ok(took >= 1_900 && took < 7_000, String(took));
  heal();
  await sleep(5_100); // the failure is remembered for 5 s
  assert.equal(await readPage(path, 9 * pagesOfChunk), pageOf(bytes, 9 * pagesOfChunk));
});

test('after a reboot no chunk is believed, and the volume is loaded again', async () => {
  await using node = await testNode([registry.host]);
  const bytes = randomBytes(size);
  const sample = await push(listed(file, bytes));
  let request: Awaited<ReturnType<typeof publish>>;
  {
    await using daemon = await startDaemon(node, patience);
    spoil(bytes, chunk => (chunk === 3 ? undefined : away));
    request = await publish(daemon, sample);
    assert.equal(
      await readPage(join(request.target_path, file), 3 * pagesOfChunk),
      pageOf(bytes, 3 * pagesOfChunk),
    );
  }
  unmountBelow(node.kubeletDir);
  const [key = ''] = readdirSync(join(node.stateDir, 'late'));
  const record = join(node.stateDir, 'late', key, 'record');
  writeFileSync(record, readFileSync(record, 'utf8').replace(/"bootId":"/, '"bootId":"an earlier one '));
  await using daemon = await startDaemon(node, patience);
  assert.deepEqual(readdirSync(join(node.stateDir, 'late')), []);
  heal();
  await daemon.csi.NodePublishVolume(request);
  assert.equal(await readAll(join(request.target_path, file)), sha256(bytes));
});

test('a blob that a pod with a credential brings into the cache is not shown to one whose registry lacks it', async () => {
  await using closed = await openFaultyRegistry({ guard: basic });
  await using node = await testNode([registry.host, closed.host]);
  const bytes = randomBytes(size);
  const owned = await closed.push('private/model', 'v1', listed(file, bytes));
  const sample = await push(listed(file, bytes));
  // It sends the byte that shows ranges, and has no more.
  registry.fault(({ path, headers }) =>
    path.endsWith(sha256(bytes)) && headers.range !== 'bytes=0-0' ? away : undefined,
  );
  await using daemon = await startDaemon(node, patience);
  const { target_path: target } = await publish(daemon, sample);
  const secrets = { username: 'alice', password: 'pass:wörd' };
  const full = await publishRequest(node, { reference: owned.reference }, secrets);
  await daemon.csi.NodePublishVolume(full);
  assert.equal(await readAll(join(full.target_path, file)), sha256(bytes));
  await sleep(5_100); // a failure is remembered for 5 s
  const page = 7 * pagesOfChunk;
  assert.match(await readPage(join(target, file), page), /Input\/output error/);
  heal();
  await sleep(5_100);
  assert.equal(await readPage(join(target, file), page), pageOf(bytes, page));
});
