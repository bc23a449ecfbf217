import type { Socket } from 'node:net';

/** What a server needs of the head of a request. */
export type Request = {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  /** The Host header; empty if there is none, or more than one. */
  readonly host: string;
};

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
    ask(end === null || end.index > maxHead ? undefined : parseRequest(`${head.slice(0, end.index)}\r\n`));
    head = '';
  };
  socket.on('data', take);
}

/** Parses a request line (RFC 9112, section 3) and the Host header. The path excludes the query. */
function parseRequest(head: string): Request | undefined {
  const { method, path, query } =
    /^(?<method>[A-Z]+) (?:http:\/\/[^/ ]*)?(?<path>\/[^ ?]*)(?:\?(?<query>[^ ]*))? HTTP\/1\.[01]\r?\n/.exec(
      head,
    )?.groups ?? {};
  if (method === undefined || path === undefined) return undefined;
  // A regular expression that trims at the end of a line takes quadratic time for one of blanks.
  const [host = '', ...others] = head
    .split('\n')
    .filter(line => /^host:/i.test(line))
    .map(line => line.slice('host:'.length).trim());
  return { method, path, query: query ?? '', host: others.length === 0 ? host : '' };
}
