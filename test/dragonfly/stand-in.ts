import {
  closeSync,
  constants,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import { parse } from 'yaml';
import { loadDragonfly } from '../../src/grpc/dragonfly/definitions.ts';
import type { DownloadTaskRequest__Output } from '../../src/grpc/wire/dfdaemon/v2/DownloadTaskRequest.ts';
import type { DownloadTaskResponse } from '../../src/grpc/wire/dfdaemon/v2/DownloadTaskResponse.ts';
import { createServer } from '../support/os/http.ts';

/**
 * A program that stands in for dfdaemon of Dragonfly (1.5.10) where tests have no real one: its proxy as a mirror of a
 * registry, and its socket, as far as a client sees them and with the same configuration. GETs of blobs come in pieces,
 * from the registry or from a peer that the scheduler names; everything else is passed on. Between its own kind, and
 * with the scheduler of `scheduler.ts`, it speaks a protocol of its own.
 */

type Address = { readonly ip: string; readonly port: number };
type Config = {
  readonly proxy: { readonly server: Address; readonly rules: readonly { readonly regex: string }[] };
  readonly upload: { readonly server: Address };
  readonly scheduler: { readonly scheduleTimeout: string };
  readonly download: { readonly server: { readonly socketPath: string } };
  readonly storage: { readonly dir: string };
};

const pieceBytes = 4 * 2 ** 20;

const { values } = parseArgs({
  options: { config: { type: 'string' }, dynconfig: { type: 'string' }, console: { type: 'boolean' } },
});
const config = parse(readFileSync(values.config ?? '', 'utf8')) as Config;
const dynamic = parse(readFileSync(values.dynconfig ?? '', 'utf8')) as {
  readonly scheduler: { readonly addrs: readonly string[] };
};
const rules = config.proxy.rules.map(({ regex }) => new RegExp(regex));
const self = `${config.upload.server.ip}:${config.upload.server.port}`;

/** A failed answer of the registry, which is passed on. */
class BackendError extends Error {
  readonly status: number;
  readonly headers: Record<string, string>;
  constructor(answer: Response) {
    super(`the registry answered ${answer.status}`);
    this.status = answer.status;
    const challenge = answer.headers.get('www-authenticate');
    this.headers = challenge === null ? {} : { 'www-authenticate': challenge };
  }
}

/** Who asks for what, at the registry. */
type Wish = { readonly url: string; readonly headers: Record<string, string> };

/** A blob, by its digest alone. A piece is a promise from the moment it is wanted. `wish`: the first one for it. */
type Task = {
  readonly id: string;
  readonly wish: Wish;
  readonly pieces: Map<number, Promise<Buffer>>;
  bytes: number;
  /** Whether all of it was in its file once. Nobody looks at the file again. */
  isFinished: boolean;
  parent: string | undefined;
  readonly scheduled: Promise<void>;
};
const tasks = new Map<string, Task>();

function openTask(id: string, wish: Wish): Task {
  const known = tasks.get(id);
  if (known !== undefined) return known;
  const task: Task = {
    id,
    wish,
    pieces: new Map(),
    bytes: 0,
    isFinished: false,
    parent: undefined,
    scheduled: askScheduler(id, '').then(parent => void (task.parent = parent)),
  };
  tasks.set(id, task);
  return task;
}

/** The peer to take pieces from. Without an answer within the time, the registry. */
async function askScheduler(id: string, lost: string): Promise<string | undefined> {
  const seconds = Number.parseFloat(config.scheduler.scheduleTimeout);
  const url = `http://${dynamic.scheduler.addrs[0]}/${id}?peer=${self}&lost=${lost}`;
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(1000 * seconds) });
    return (await answer.text()) || undefined;
  } catch {
    return undefined;
  }
}

function getPiece(task: Task, nth: number, wish: Wish): Promise<Buffer> {
  const known = task.pieces.get(nth);
  if (known !== undefined) return known;
  const piece = fetchPiece(task, nth, wish);
  task.pieces.set(nth, piece);
  piece.catch(() => task.pieces.delete(nth));
  return piece;
}

async function fetchPiece(task: Task, nth: number, wish: Wish): Promise<Buffer> {
  await task.scheduled;
  for (let { parent } = task; parent !== undefined; parent = task.parent) {
    try {
      const answer = await fetch(`http://${parent}/${task.id}/${nth}`);
      if (!answer.ok) throw new Error(`the peer answered ${answer.status}`);
      task.bytes = Number(answer.headers.get('x-task-bytes'));
      return Buffer.from(await answer.arrayBuffer());
    } catch {
      if (task.parent === parent) task.parent = await askScheduler(task.id, parent);
    }
  }
  const range = `bytes=${nth * pieceBytes}-${(nth + 1) * pieceBytes - 1}`;
  const answer = await fetch(wish.url, { headers: { ...wish.headers, range } });
  if (answer.status !== 206) throw new BackendError(answer);
  task.bytes = Number(/\d+$/.exec(answer.headers.get('content-range') ?? '')?.[0]);
  return Buffer.from(await answer.arrayBuffer());
}

/** Answers nothing before the first piece is whole. */
async function giveBlob(
  id: string,
  wish: Wish,
  range: string | undefined,
  response: ServerResponse,
): Promise<void> {
  const asked = /^bytes=(\d+)-(\d*)$/.exec(range ?? '');
  const start = Number(asked?.[1] ?? 0);
  const task = openTask(id, wish);
  let nth = Math.floor(start / pieceBytes);
  let piece = await getPiece(task, nth, wish);
  const end = Math.min(asked?.[2] ? Number(asked[2]) + 1 : task.bytes, task.bytes);
  response.writeHead(asked === null ? 200 : 206, {
    'content-type': 'application/octet-stream',
    'content-length': String(end - start),
    'x-dragonfly-task-id': id,
    ...(asked && { 'content-range': `bytes ${start}-${end - 1}/${task.bytes}` }),
  });
  for (let at = start; at < end; ) {
    const from = at - nth * pieceBytes;
    const some = piece.subarray(from, from + end - at);
    response.write(some);
    at += some.length;
    if (at < end) piece = await getPiece(task, ++nth, wish);
  }
  response.end();
}

function refuse(response: ServerResponse, thrown: unknown): void {
  if (response.headersSent) return void response.destroy();
  const backend = thrown instanceof BackendError ? thrown : undefined;
  response.writeHead(backend?.status ?? 500, {
    ...backend?.headers,
    'x-dragonfly-error-type': backend === undefined ? 'dfdaemon' : 'backend',
    'content-length': '0',
  });
  response.end();
}

async function passOn(method: string, { url, headers }: Wish, response: ServerResponse): Promise<void> {
  const answer = await fetch(url, { method, headers });
  const kept = ['content-type', 'content-length', 'docker-content-digest', 'www-authenticate'];
  response.statusCode = answer.status;
  for (const name of kept) {
    const value = answer.headers.get(name);
    if (value !== null) response.setHeader(name, value);
  }
  response.end(Buffer.from(await answer.arrayBuffer()));
}

/** The registry of a request: by a header, or by the name in the query, which is always reached by HTTPS. */
function toWish({ url = '/', headers }: IncomingMessage): Wish {
  const name = new URL(url, 'http://proxy').searchParams.get('ns');
  const registry = headers['x-dragonfly-registry'] ?? `https://${name}`;
  const { host: _, connection: __, range: ___, ...passed } = headers;
  const given = Object.entries(passed).map(([key, value]) => [key, String(value)]);
  return { url: `${String(registry)}${url}`, headers: Object.fromEntries(given) };
}

const proxy = createServer((request, response) => {
  const { method = '', url = '', headers } = request;
  const wish = toWish(request);
  const id = /sha256:([0-9a-f]{64})/.exec(url)?.[1];
  const isShared = method === 'GET' && id !== undefined && rules.some(rule => rule.test(wish.url));
  const answered = isShared ? giveBlob(id, wish, headers.range, response) : passOn(method, wish, response);
  answered.catch((thrown: unknown) => refuse(response, thrown));
});
const upload = createServer((request, response) => {
  const [, id = '', nth = ''] = (request.url ?? '').split('/');
  const task = tasks.get(id);
  if (task === undefined) return void response.writeHead(404).end();
  getPiece(task, Number(nth), task.wish).then(
    bytes => response.writeHead(200, { 'x-task-bytes': String(task.bytes) }).end(bytes),
    () => response.writeHead(404).end(),
  );
});
/**
 * The file of a task is there, as long as the blob and linked at the output path, before its first piece comes. That of a
 * finished task is linked as it is.
 */
async function downloadTask(
  call: ServerWritableStream<DownloadTaskRequest__Output, DownloadTaskResponse>,
): Promise<void> {
  const { url = '', request_header: headers = {}, output_path: path = '' } = call.request.download ?? {};
  const id = /sha256:([0-9a-f]{64})$/.exec(url)?.[1] ?? '';
  const wish = { url, headers };
  const task = openTask(id, wish);
  await getPiece(task, 0, wish);
  const directory = join(config.storage.dir, 'content', id.slice(0, 3));
  mkdirSync(directory, { recursive: true });
  const { isFinished } = task;
  const file = openSync(join(directory, id), constants.O_RDWR | (isFinished ? 0 : constants.O_CREAT));
  try {
    if (!isFinished) ftruncateSync(file, task.bytes);
    linkSync(join(directory, id), path);
    call.write({ download_task_started_response: { content_length: task.bytes } });
    const count = Math.ceil(task.bytes / pieceBytes);
    await Promise.all(
      Array.from({ length: count }, async (_, nth) => {
        const bytes = await getPiece(task, nth, wish);
        if (!isFinished) writeSync(file, bytes, 0, bytes.length, nth * pieceBytes);
        const piece = { offset: nth * pieceBytes, length: bytes.length };
        call.write({ download_piece_finished_response: { piece } });
      }),
    );
    task.isFinished = true;
    call.end();
  } finally {
    closeSync(file);
  }
}

/** As tonic does, with what the registry answered in the details. */
function toStatus(thrown: unknown): Partial<StatusObject> {
  const metadata = new Metadata();
  if (thrown instanceof BackendError)
    metadata.set('grpc-status-details-bin', Buffer.from(JSON.stringify({ status_code: thrown.status })));
  return { code: status.INTERNAL, details: String(thrown), metadata };
}

const socketServer = new Server();
socketServer.addService(loadDragonfly().DfdaemonDownload.service, {
  DownloadTask(call: ServerWritableStream<DownloadTaskRequest__Output, DownloadTaskResponse>) {
    downloadTask(call).catch((thrown: unknown) => call.emit('error', toStatus(thrown)));
  },
});
const { socketPath } = config.download.server;
rmSync(socketPath, { force: true });
socketServer.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), () => {});
upload.listen(config.upload.server.port, config.upload.server.ip);
proxy.listen(config.proxy.server.port, config.proxy.server.ip);
