import { randomUUID } from 'node:crypto';
import { closeSync, open } from 'node:fs';
import { extname } from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { createFuseMount, type FuseMount } from '../linux/fuse.ts';
import type { LandingFile, Landings } from '../ports/landing.ts';
import { takeInSlices } from '../util/pace.ts';
import type { HolderKeeping, HolderLink } from './holder-link.ts';
import { createLandingAnswers } from './landing-answers.ts';
import { formatName, type LandingEvent, type LandingThread, nodeOf } from './landing-names.ts';

export type LandingOptions = {
  /**
   * If a read is not answered for so long, the kernel ends all landings, from Linux 6.14 on. It protects from a process
   * that hangs, and must be longer than any `bring` takes.
   */
  readonly timeoutSeconds: number;
  /** The SELinux context of landings: some kernels read them for the process that reads the image. */
  readonly context?: string | undefined;
};

/** Landings that a holder can keep, so that another process continues them. */
export type KeptLandings = Landings & {
  /** To be called once they work. */
  keepBy(holder: Pick<HolderLink, 'keep'>): void;
};

/**
 * Opens the one FUSE filesystem whose files are landings. It is attached nowhere; a thread serves it.
 *
 * @throws the error of the system if it has no FUSE, or does not allow it.
 */
export async function openLandings({ timeoutSeconds, context }: LandingOptions): Promise<KeptLandings> {
  return await serveLandings(createFuseMount(context), { timeoutSeconds, isOpen: false });
}

/**
 * Continues the landings of an earlier process.
 *
 * @param prepare adds what that process served, before any of it is answered.
 * @throws Error if the connection has ended; the errors of `prepare`.
 */
export async function continueLandings(
  files: FuseMount,
  prepare: (landings: Pick<Landings, 'add'>) => void,
): Promise<KeptLandings> {
  return await serveLandings(files, { timeoutSeconds: 0, isOpen: true, prepare });
}

async function serveLandings(
  { device, mount }: FuseMount,
  {
    prepare,
    ...served
  }: Pick<LandingThread, 'timeoutSeconds' | 'isOpen'> & {
    readonly prepare?: (landings: Pick<Landings, 'add'>) => void;
  },
): Promise<KeptLandings> {
  await using stack = new AsyncDisposableStack();
  const answers = stack.use(createLandingAnswers(device));
  stack.use(mount);
  const root = `/proc/self/fd/${mount.fd}`;
  const files = new Map<number, LandingFile>();
  /** The reads that are not answered, and their node. */
  const waiting = new Map<bigint, number>();
  const waking = nodeOf(randomUUID());
  /** Those whose reads are left to another process. */
  const left = new Set<number>();
  let keeping: HolderKeeping | undefined;
  let failure: string | undefined;

  const serve = async ({ unique, node, offset, length }: LandingRequest): Promise<void> => {
    const file = files.get(node);
    if (left.has(node)) return;
    waiting.set(unique, node);
    try {
      if (file === undefined || offset >= file.size) throw new Error('there are no such bytes');
      const bytes = Math.min(length, file.size - offset);
      using opened = await file.bring(offset, bytes);
      await answers.send({ unique, offset, bytes, length }, opened.fd, () => waiting.has(unique));
      waiting.delete(unique);
    } catch {
      if (waiting.delete(unique) && !left.has(node)) answers.refuse(unique);
    }
  };

  const end = (node: number): void => {
    files.delete(node);
    for (const [unique, of] of waiting)
      if (of === node && waiting.delete(unique) && !left.has(node)) answers.refuse(unique);
  };

  const adding: Pick<Landings, 'add'> = {
    add(file, key) {
      const node = nodeOf(key);
      if (files.has(node)) throw new Error(`there is a landing ${key} already`);
      files.set(node, file);
      return { path: `${root}/${formatName(node, file.size)}`, [Symbol.dispose]: () => end(node) };
    },
  };
  prepare?.(adding);
  const thread = startThread(
    { device, waking, ...served },
    takeInSlices((request: LandingRequest) => void serve(request)),
  );
  stack.defer(() => waiting.clear());
  await thread.ready;
  const wakingFile = await openWakingFile(`${root}/${formatName(waking, 0)}`, thread.ended);
  process.on('exit', wakingFile.close);
  const opened = stack.move();
  const close = async (): Promise<void> => {
    const reason = await thread.ended;
    if (failure === undefined) keeping?.drop(); // reads would wait for an answer that nobody gives
    failure ??= reason;
    process.off('exit', wakingFile.close);
    wakingFile.close();
    keeping?.[Symbol.dispose]();
    await opened.disposeAsync();
  };
  const closed = close();
  closed.catch(() => {}); // whoever closes it gets the error

  return {
    ...adding,
    failure: () => failure,
    keepBy(holder) {
      keeping = holder.keep([device, mount.fd]);
    },
    leave() {
      if (keeping?.isKept() === true) for (const node of files.keys()) left.add(node);
    },
    async [Symbol.asyncDispose]() {
      for (const node of files.keys()) end(node);
      failure ??= 'the daemon stops';
      thread.keep();
      wakingFile.close();
      await closed;
    },
  };
}

type LandingRequest = LandingEvent & { readonly kind: 'read' };

type Serving = {
  /** @throws if the thread ends before. */
  readonly ready: Promise<void>;
  /** Why it has ended. */
  readonly ended: Promise<string>;
  /** From now on the process lives until it ends. */
  keep(): void;
};

function startThread(workerData: LandingThread, onRead: (request: LandingRequest) => void): Serving {
  const ready = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<string>();
  const url = new URL(`./landing-worker${extname(import.meta.url)}`, import.meta.url);
  const thread = new Worker(url, { workerData, resourceLimits });
  let reason = 'the kernel has ended the connection for missing bytes';
  thread.on('message', (event: LandingEvent) => (event.kind === 'ready' ? ready.resolve() : onRead(event)));
  thread.on('error', error => {
    reason = `the thread for missing bytes has failed: ${String(error)}`;
  });
  thread.on('exit', () => {
    ready.reject(new Error(reason));
    ended.resolve(reason);
  });
  return { ready: ready.promise.then(() => thread.unref()), ended: ended.promise, keep: () => thread.ref() };
}

/** MiB: it keeps only names. */
const resourceLimits = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 16 };

const openInPool = promisify(open);

/** It is opened in the pool, because this thread must not wait for the other. */
async function openWakingFile(path: string, ended: Promise<string>): Promise<{ readonly close: () => void }> {
  const failed = ended.then(reason => Promise.reject<number>(new Error(reason)));
  const fd = await Promise.race([openInPool(path, 'r'), failed]);
  let isOpen = true;
  return {
    close() {
      if (isOpen) closeSync(fd);
      isOpen = false;
    },
  };
}
