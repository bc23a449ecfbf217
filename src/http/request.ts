import type { Socket } from 'node:net';

/** Method and path of a request line. */
export type Request = { readonly method: string; readonly path: string };

/** Bytes of a request before its body; common web servers have the same limit. */
const maxHead = 8 * 1024;

/**
 * Reads the head of the only request of a connection. Further bytes are read and dropped, because closing a socket with
 * unread data can destroy the answer. Calls `ask` once; with undefined if the request is not HTTP/1.x, or if its head
 * is too long.
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

/** Parses a request line (RFC 9112, section 3). The path excludes the query. */
function parseRequest(head: string): Request | undefined {
  const { method, path } =
    /^(?<method>[A-Z]+) (?:http:\/\/[^/ ]*)?(?<path>\/[^ ?]*)(?:\?[^ ]*)? HTTP\/1\.[01]\r?\n/.exec(head)
      ?.groups ?? {};
  return method === undefined || path === undefined ? undefined : { method, path };
}
