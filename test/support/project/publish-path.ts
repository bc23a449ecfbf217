import { randomBytes } from 'node:crypto';
import { existsSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { waitUntil } from '../node/child.ts';
import { publishRequest, startDaemon, type TestDaemon, testNode } from '../node/daemon.ts';
import { sourceMain } from '../node/main.ts';
import { gzip, tarOf } from '../oci/tar.ts';
import { temporaryDirectory } from '../os/temporary.ts';
import { openFaultyRegistry } from '../registry/faulty-registry.ts';
import { makeCertificate } from '../signing/certificate.ts';

/** A function of the program on a stack; `line` and `column` are where it begins. */
export type Frame = {
  readonly path: string;
  readonly name: string;
  readonly line: number;
  readonly column: number;
};

/** What a thread executed: functions as `path:offset`, and the stack of each request for a blob, innermost first. */
export type Recorded = {
  readonly functions: readonly string[];
  readonly requests: readonly (readonly Frame[])[];
};

/** One publish. `files` are those of the program, relative to src/. */
export type PublishPath = { readonly what: string; readonly files: readonly string[] };

/** `frames`: the functions that wait for a blob of file layers, from the call to the socket. */
export type PublishPaths = { readonly paths: readonly PublishPath[]; readonly frames: readonly Frame[] };

const source = fileURLToPath(new URL('../../../src/', import.meta.url));
const recorder = fileURLToPath(new URL('./path-recorder.ts', import.meta.url));

/** By then, the threads of the publish before have ended, timers have run, and files of the configuration are read again. */
const settleMs = 1_200;
/** By then, a daemon that has started has returned the memory that its start needed. */
const startMs = 5_000;
/** More than the main thread receives itself. */
const largeBytes = 3 * 1024 * 1024;

/**
 * Runs a daemon from source against the embedded registry by https, publishes as an anonymous pod without a policy, and
 * counts:
 *
 * - A file, if a function of it runs between the call and its answer, in any thread, that did not run while the daemon
 *   started. So the clock, the log and what timers do are not counted.
 * - A frame, if a function waits for the request when it reaches the socket: an async function on the stack of the main
 *   thread or of the thread that receives. Helpers in util/ wait for whatever they are given, and are not counted.
 */
export async function measurePublishPaths(): Promise<PublishPaths> {
  await using directory = await temporaryDirectory();
  const tls = makeCertificate();
  const caFile = join(directory.path, 'ca.pem');
  writeFileSync(caFile, tls.cert);
  await using registry = await openFaultyRegistry({ tls });
  await using node = await testNode();
  const env = {
    PUBLISH_PATH_DIRECTORY: directory.path,
    NODE_OPTIONS: `--import=${recorder}`,
    NODE_DISABLE_COMPILE_CACHE: '1', // coverage of cached code is less precise
  };
  await using daemon = await startDaemon(node, { program: sourceMain, env, flags: { '--ca-file': caFile } });
  const take = openRecords(daemon, directory.path);
  await sleep(startMs);
  const atStart = new Set((await take()).flatMap(({ functions }) => functions));

  const file = { name: 'weights', bytes: randomBytes(largeBytes) };
  const tar = gzip(await tarOf([[{ name: 'config.json' }, '{}']]));
  const files = await registry.push('model', 'v1', [{ name: 'config', bytes: Buffer.from('{}') }, file]);
  const layer = { bytes: tar, mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' };
  const unpacked = await registry.push('image', 'v1', [layer]);
  const measure = async (what: string, reference: string) => {
    const request = await publishRequest(node, { reference });
    await sleep(settleMs);
    await take();
    await daemon.csi.NodePublishVolume(request);
    const recorded = await take();
    const functions = recorded.flatMap(({ functions }) => functions).filter(used => !atStart.has(used));
    const paths = new Set(functions.map(used => used.replace(/:\d+$/, '')));
    return { path: { what, files: [...paths].toSorted() }, requests: recorded.flatMap(all => all.requests) };
  };
  const cold = await measure('cold, file layers', files.reference);
  const cached = await measure('from the cache', files.reference);
  const coldTar = await measure('cold, one tar+gzip layer', unpacked.reference);
  const frames = cold.requests.flat().filter(frame => !frame.path.startsWith('util/') && isAsync(frame));
  return { paths: [cold.path, cached.path, coldTar.path], frames };
}

/** Returns a function that takes what all threads of the daemon executed since its last call. */
function openRecords(daemon: TestDaemon, directory: string): () => Promise<readonly Recorded[]> {
  let takes = 0;
  return async () => {
    const file = join(directory, `taken-${takes++}`);
    process.kill(daemon.pid, 'SIGUSR2');
    await waitUntil(daemon, () => existsSync(file), 'recorded');
    const main = JSON.parse(readFileSync(file, 'utf8')) as Recorded;
    const threads = globSync('thread-*', { cwd: directory }).flatMap(name => {
      const lines = readFileSync(join(directory, name), 'utf8').trim().split('\n');
      rmSync(join(directory, name));
      return lines.map(line => JSON.parse(line) as Recorded);
    });
    return [...threads, main];
  };
}

function isAsync({ path, line, column }: Frame): boolean {
  const text = readFileSync(join(source, path), 'utf8').split('\n')[line - 1] ?? '';
  return text.slice(column - 1).startsWith('async');
}
