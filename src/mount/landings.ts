import { closeSync, open } from 'node:fs';
import { extname } from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { createFuseMount } from '../linux/fuse.ts';
import type { LandingFile, Landings } from '../ports/landing.ts';
import { createLandingAnswers } from './landing-answers.ts';
import { formatName, type LandingEvent, type LandingThread, wakingNode } from './landing-names.ts';

export type LandingOptions = {
  /**
   * If a read is not answered for so long, the kernel ends all landings, from Linux 6.14 on. It protects from a process
   * that hangs, and must be longer than any `bring` takes.
   */
  readonly timeoutSeconds: number;
  /** The SELinux context of landings: some kernels read them for the process that reads the image. */
  readonly context?: string | undefined;
};

/**
 * Opens the one FUSE filesystem whose files are landings. It is attached nowhere; a thread serves it.
 *
 * @throws the error of the system if it has no FUSE, or does not allow it.
 */
export async function openLandings({ timeoutSeconds, context }: LandingOptions): Promise<Landings> {
  await using stack = new AsyncDisposableStack();
  const { device, mount } = createFuseMount(context);
  const answers = stack.use(createLandingAnswers(device));
  stack.use(mount);
  const root = `/proc/self/fd/${mount.fd}`;
  const files = new Map<number, LandingFile>();
  /** The reads that are not answered, and their node. */
  const waiting = new Map<bigint, number>();
  let lastNode = wakingNode;
  let failure: string | undefined;

  const serve = async ({ unique, node, offset, length }: LandingRequest): Promise<void> => {
    const file = files.get(node);
    waiting.set(unique, node);
    try {
      if (file === undefined || offset >= file.size) throw new Error('there are no such bytes');
      const bytes = Math.min(length, file.size - offset);
      const fd = await file.bring(offset, bytes);
      if (waiting.has(unique)) await answers.send({ unique, offset, bytes, length }, fd);
      waiting.delete(unique);
    } catch {
      if (waiting.delete(unique)) answers.refuse(unique);
    }
  };

  const end = (node: number): void => {
    files.delete(node);
    for (const [unique, of] of waiting) if (of === node && waiting.delete(unique)) answers.refuse(unique);
  };

  const thread = startThread({ device, timeoutSeconds }, request => void serve(request));
  stack.defer(() => waiting.clear());
  await thread.ready;
  const waking = await openWakingFile(root, thread.ended);
  process.on('exit', waking.close);
  const opened = stack.move();
  const close = async (): Promise<void> => {
    const reason = await thread.ended;
    failure ??= reason;
    process.off('exit', waking.close);
    waking.close();
    await opened.disposeAsync();
  };
  const closed = close();

  return {
    add(file) {
      const node = ++lastNode;
      files.set(node, file);
      return { path: `${root}/${formatName(node, file.size)}`, [Symbol.dispose]: () => end(node) };
    },
    failure: () => failure,
    async [Symbol.asyncDispose]() {
      for (const node of files.keys()) end(node);
      failure ??= 'the daemon stops';
      thread.keep();
      waking.close();
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
async function openWakingFile(root: string, ended: Promise<string>): Promise<{ readonly close: () => void }> {
  const failed = ended.then(reason => Promise.reject<number>(new Error(reason)));
  const fd = await Promise.race([openInPool(`${root}/${formatName(wakingNode, 0)}`, 'r'), failed]);
  let isOpen = true;
  return {
    close() {
      if (isOpen) closeSync(fd);
      isOpen = false;
    },
  };
}
