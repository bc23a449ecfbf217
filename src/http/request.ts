import type { Socket } from 'node:net';

/** The first line of a request, as far as it decides the answer. */
export type Request = { readonly method: string; readonly path: string };

/** Bytes of a request before its body, as web servers have it. */
const maxHead = 8 * 1024;

/**
 * Reads the head of the one request that a connection may ask, and takes no byte into memory after that: what else the
 * client sends is read and dropped, so that the end of the connection cannot overtake the answer. Calls `ask` once: with
 * undefined for what is no request of HTTP/1.x, or has too long a head.
 */
export function readRequest(socket: Socket, ask: (request: Request | undefined) => void): void {
  let head = '';
  const take = (chunk: Buffer): void => {
    head += chunk.toString('latin1');
    const end = /\r?\n\r?\n/.exec(head);
    if (end === null && head.length <= maxHead) return;
    socket.off('data', take).resume();
    ask(end === null || end.index > maxHead ? undefined : parseRequest(head));
    head = '';
  };
  socket.on('data', take);
}

/** RFC 9112, section 3. The query is not part of the path. */
function parseRequest(head: string): Request | undefined {
  const { method, path } =
    /^(?<method>[A-Z]+) (?:http:\/\/[^/ ]*)?(?<path>\/[^ ?]*)(?:\?[^ ]*)? HTTP\/1\.[01]\r?\n/.exec(head)
      ?.groups ?? {};
  return method === undefined || path === undefined ? undefined : { method, path };
}
