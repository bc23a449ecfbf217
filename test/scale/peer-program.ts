import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { openContainerd } from '../support/node/containerd-client.ts';
import { createServer } from '../support/os/http.ts';

/**
 * A program that is to a client what Spegel is: a mirror on each node, which serves what the containerd of its node has,
 * and else what another node's mirror has. It answers 404 at once for what none of them has. Unlike Spegel it asks all
 * others in place of a table of who has what.
 */

/** Marks a request of another mirror, which is answered from this node alone. */
const mirrored = 'x-spegel-mirrored';

const { values } = parseArgs({
  options: { listen: { type: 'string' }, socket: { type: 'string' }, peers: { type: 'string' } },
});
const [address = '', port = ''] = values.listen?.split(':') ?? [];
const peers = values.peers?.split(',') ?? [];
const containerd = openContainerd(values.socket ?? '');

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://peer');
  const [, kind, digest] = /^\/v2\/.+\/(manifests|blobs)\/(sha256:[0-9a-f]{64})$/.exec(pathname) ?? [];
  if (digest !== undefined && searchParams.has('ns')) {
    const size = await sizeOf(digest);
    if (size !== undefined) return await give(kind === 'manifests', digest, size, request, response);
    if (request.headers[mirrored] === undefined && (await passOn(request, response))) return;
  }
  response.writeHead(404, { 'content-length': '0' }).end();
}

/** Also undefined while the daemon of this node does not run. */
async function sizeOf(digest: string): Promise<number | undefined> {
  const { info } = await containerd.content.Info({ digest }).catch(() => ({ info: undefined }));
  return info?.size;
}

async function give(
  isManifest: boolean,
  digest: string,
  size: number,
  { method, headers }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const range = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '');
  const start = Number(range?.[1] ?? 0);
  const end = range?.[2] ? Math.min(Number(range[2]) + 1, size) : size;
  if (start >= end) return void response.writeHead(416, { 'content-length': '0' }).end();
  const bytes = method === 'HEAD' ? undefined : await containerd.read(digest, start, end - start);
  const manifest = isManifest ? await containerd.read(digest) : undefined;
  const { mediaType } = JSON.parse(manifest?.toString() ?? '{}') as { readonly mediaType?: string };
  response.writeHead(range === null ? 200 : 206, {
    'content-type': mediaType ?? 'application/octet-stream',
    'content-length': String(end - start),
    'docker-content-digest': digest,
    ...(range && { 'content-range': `bytes ${start}-${end - 1}/${size}` }),
  });
  response.end(bytes);
}

/** Passes the request to the first peer that has the content. Returns whether there was one. */
async function passOn(
  { method = '', url = '', headers }: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const passed = { [mirrored]: 'true', ...(headers.range && { range: headers.range }) };
  for (const peer of peers) {
    const answered = await fetch(`http://${peer}${url}`, { method, headers: passed }).catch(() => undefined);
    if (answered?.ok !== true) {
      await answered?.body?.cancel();
      continue;
    }
    response.writeHead(answered.status, Object.fromEntries(answered.headers));
    if (answered.body === null) response.end();
    else await pipeline(Readable.fromWeb(answered.body), response);
    return true;
  }
  return false;
}

createServer((request, response) => {
  answer(request, response).catch(() => response.destroy());
}).listen(Number(port), address, () => console.log('listening'));
