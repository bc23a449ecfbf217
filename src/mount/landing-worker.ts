import { readSync, writeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import {
  type FuseRequest,
  formatAttributes,
  formatDone,
  formatEntry,
  formatError,
  formatInit,
  formatOpen,
  parseRequest,
  requestBytes,
  rootNode,
} from '../linux/fuse-wire.ts';
import { errnoOf } from '../util/error.ts';
import { type LandingEvent, type LandingThread, parseName } from './landing-names.ts';

/**
 * Receives the requests of a FUSE connection, until it ends. Names, attributes and opens are answered here, without the
 * main thread, which may wait for them; reads are handed to it. The thread waits in read(2), and is to end when the
 * waking file is closed.
 */
function serve({ device, timeoutSeconds, waking, isOpen }: LandingThread): void {
  const buffer = Buffer.alloc(requestBytes);
  const nodes = new Map<number, { readonly size: number; lookups: number }>();

  const look = (request: FuseRequest & { readonly kind: 'lookup' }): Buffer => {
    const file = parseName(request.name);
    if (file === undefined) return formatError(request.unique, ENOENT);
    const known = nodes.get(file.node) ?? { size: file.size, lookups: 0 };
    known.lookups++;
    nodes.set(file.node, known);
    return formatEntry(request.unique, file);
  };
  const forget = (node: number, lookups: number): void => {
    const known = nodes.get(node);
    if (known === undefined) return;
    known.lookups -= lookups;
    if (known.lookups <= 0) nodes.delete(node);
  };
  const describe = (unique: bigint, node: number): Buffer => {
    const size = node === rootNode ? 0 : nodes.get(node)?.size;
    if (size === undefined) return formatError(unique, ESTALE); // an earlier process looked it up
    return formatAttributes(unique, { node, size });
  };
  const answer = (request: FuseRequest): Buffer | undefined => {
    const { unique } = request;
    switch (request.kind) {
      case 'init':
        return formatInit(request, timeoutSeconds);
      case 'lookup':
        return look(request);
      case 'attributes':
        return describe(unique, request.node);
      case 'open':
        return formatOpen(unique);
      case 'read':
        post(request);
        return undefined;
      case 'forget':
        for (const { node, lookups } of request.nodes) forget(node, lookups);
        return undefined;
      case 'interrupt':
        return undefined;
      case 'release':
      case 'destroy':
        return formatDone(unique);
      case 'other':
        return formatError(unique, ENOSYS);
    }
  };

  if (isOpen) post({ kind: 'ready' });
  for (;;) {
    const length = receive(device, buffer);
    if (length === undefined) return;
    const request = parseRequest(buffer.subarray(0, length));
    const answered = answer(request);
    if (answered !== undefined) send(device, answered);
    if (request.kind === 'init') post({ kind: 'ready' });
    if (request.kind === 'release' && request.node === waking) return;
  }
}

const ENOENT = 2;
const ESTALE = 116;
const ENOSYS = 38;

/** Returns the length of the next request; undefined if the connection has ended. */
function receive(device: number, into: Buffer): number | undefined {
  for (;;) {
    try {
      return readSync(device, into);
    } catch (error) {
      if (errnoOf(error) === 'ENODEV') return undefined;
      if (!transient.has(errnoOf(error) ?? '')) throw error;
    }
  }
}

/** A request was withdrawn before it was read, or the call was interrupted. */
const transient: ReadonlySet<string> = new Set(['ENOENT', 'EINTR', 'EAGAIN']);

/** Whoever waited for the answer may be gone (ENOENT). */
function send(device: number, answer: Buffer): void {
  try {
    writeSync(device, answer);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

function post(event: LandingEvent): void {
  // A thread of this process has no origin.
  // oxlint-disable-next-line unicorn/require-post-message-target-origin
  parentPort?.postMessage(event);
}

serve(workerData as LandingThread);
