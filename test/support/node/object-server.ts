import { writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Cluster, ClusterAccess } from '../../../src/kube/cluster.ts';
import { temporaryDirectory } from '../os/temporary.ts';
import { makeCertificate } from '../signing/certificate.ts';
import { toKubeconfig, token } from './kube-api.ts';

/** An object of any kind, as the API stores it. */
export type StoredObject = {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly generation: number;
    readonly labels?: Readonly<Record<string, string>>;
  };
  // oxlint-disable-next-line typescript/no-explicit-any -- tests read any field of it
  readonly [field: string]: any;
};

export type ObjectServer = AsyncDisposable & {
  /** A file for KUBECONFIG. */
  readonly kubeconfig: string;
  readonly cluster: Pick<Cluster, 'access'>;
  /** Each request: method, path with query, and its time in milliseconds. */
  readonly asked: readonly { readonly method: string; readonly url: string; readonly at: number }[];
  /** Stores an object under its path, as somebody else does by kubectl. */
  put(path: string, object: object): StoredObject;
  get(path: string): StoredObject | undefined;
  /** The objects whose paths begin so. */
  objects(prefix: string): readonly StoredObject[];
  remove(path: string): void;
  /** The status code in place of the right answer; undefined: none. */
  refuse(refusal: (method: string, path: string) => number | undefined): void;
  /** Ends the watches, and forgets the changes so far: the versions before are too old. */
  compact(): void;
};

type Change = { readonly version: number; readonly type: string; readonly object: StoredObject };

/**
 * The part of a Kubernetes API server that stores objects of any kind, on loopback with TLS: lists in parts, watches,
 * merge patches, server-side apply, and versions that a write must name.
 */
export async function openObjectServer(): Promise<ObjectServer> {
  const directory = await temporaryDirectory();
  const certificate = makeCertificate();
  const stored = new Map<string, StoredObject>();
  const asked: { method: string; url: string; at: number }[] = [];
  const watchers = new Set<{
    readonly kind: string;
    readonly query: URLSearchParams;
    readonly response: ServerResponse;
  }>();
  let changes: Change[] = [];
  let version = 1;
  let oldest = 0;
  let refusal: (method: string, path: string) => number | undefined = () => undefined;

  const note = (type: string, path: string, object: StoredObject): void => {
    changes.push({ version, type, object });
    for (const { kind, query, response } of watchers)
      if (isOf(path, kind) && selects(query, object)) response.write(`${JSON.stringify({ type, object })}\n`);
  };

  const put = (path: string, given: object): StoredObject => {
    const before = stored.get(path);
    const object = given as Partial<StoredObject>;
    const isSame = JSON.stringify(object.spec) === JSON.stringify(before?.spec);
    version++;
    const metadata = {
      ...object.metadata,
      name: path.split('/').at(-1) ?? '',
      ...namespaceOf(path),
      uid: before?.metadata.uid ?? `uid-${version}`,
      resourceVersion: `${version}`,
      generation: (before?.metadata.generation ?? 0) + (isSame && before !== undefined ? 0 : 1),
    };
    const after: StoredObject = { ...object, metadata };
    stored.set(path, after);
    note(before === undefined ? 'ADDED' : 'MODIFIED', path, after);
    return after;
  };

  const remove = (path: string): void => {
    const object = stored.get(path);
    if (object === undefined) return;
    version++;
    stored.delete(path);
    note('DELETED', path, { ...object, metadata: { ...object.metadata, resourceVersion: `${version}` } });
  };

  const list = (kind: string, query: URLSearchParams): object => {
    const all = [...stored]
      .filter(([path, object]) => isOf(path, kind) && selects(query, object))
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([, object]) => object);
    const from = Number(query.get('continue') ?? 0);
    const end = from + Number(query.get('limit') ?? all.length);
    const more = end < all.length ? { continue: `${end}` } : {};
    return {
      kind: 'List',
      metadata: { resourceVersion: `${version}`, ...more },
      items: all.slice(from, end),
    };
  };

  const watch = (kind: string, query: URLSearchParams, response: ServerResponse): void => {
    const since = Number(query.get('resourceVersion'));
    if (since < oldest) return answer(response, 410, statusOf(410, 'too old resource version'));
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    for (const change of changes)
      if (change.version > since && isOf(pathOf(kind, change.object), kind) && selects(query, change.object))
        response.write(`${JSON.stringify({ type: change.type, object: change.object })}\n`);
    const watcher = { kind, query, response };
    watchers.add(watcher);
    response.on('close', () => watchers.delete(watcher));
  };

  const respond = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = '', url = '', headers } = request;
    const { pathname: path, searchParams: query } = new URL(url, 'https://api.test');
    asked.push({ method, url, at: performance.now() });
    const text = Buffer.concat(await Array.fromAsync(request)).toString();
    const body = text === '' ? {} : (JSON.parse(text) as Partial<StoredObject>);
    if (headers.authorization !== `Bearer ${token}`) return answer(response, 401, statusOf(401, ''));
    const code = refusal(method, path);
    if (code !== undefined) return answer(response, code, statusOf(code, `${method} is forbidden`));
    const target = path.replace(/\/status$/, '');
    const found = stored.get(target);
    const isStale = body.metadata?.resourceVersion !== found?.metadata.resourceVersion;
    switch (method) {
      case 'GET':
        if (found !== undefined) return answer(response, 200, found);
        if (isObjectPath(path)) return answer(response, 404, statusOf(404, path));
        return query.has('watch') ? watch(path, query, response) : answer(response, 200, list(path, query));
      case 'POST': {
        const created = `${path}/${body.metadata?.name}`;
        return stored.has(created)
          ? answer(response, 409, statusOf(409, 'it exists'))
          : answer(response, 201, put(created, body));
      }
      case 'PUT':
        return isStale
          ? answer(response, 409, statusOf(409, 'it has changed'))
          : answer(response, 200, put(target, body));
      case 'PATCH': {
        const isApplied = headers['content-type'] === 'application/apply-patch+yaml';
        if (found === undefined && !isApplied) return answer(response, 404, statusOf(404, path));
        return answer(response, 200, put(target, mergeInto(found ?? {}, body) as object));
      }
      case 'DELETE': {
        const wanted = body['preconditions']?.resourceVersion as string | undefined;
        if (wanted !== undefined && wanted !== found?.metadata.resourceVersion)
          return answer(response, 409, statusOf(409, 'it has changed'));
        remove(target);
        return answer(response, 200, statusOf(200, ''));
      }
      default:
        return answer(response, 405, statusOf(405, method));
    }
  };

  const server = createServer(certificate, (request, response) => void respond(request, response));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const url = `https://127.0.0.1:${port}`;
  const kubeconfig = join(directory.path, 'kubeconfig');
  await writeFile(kubeconfig, toKubeconfig(url, certificate.cert, token));
  const access: ClusterAccess = {
    url,
    credentials: async () => ({ ca: certificate.cert, headers: { authorization: `Bearer ${token}` } }),
  };
  return {
    kubeconfig,
    cluster: { access: () => access },
    asked,
    put,
    get: path => stored.get(path),
    objects: prefix => [...stored].flatMap(([path, object]) => (path.startsWith(prefix) ? [object] : [])),
    remove,
    refuse(next) {
      refusal = next;
    },
    compact() {
      changes = [];
      oldest = ++version;
      for (const { response } of watchers) response.end();
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise(resolve => server.close(resolve));
      server.closeAllConnections();
      await closed;
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** Whether a path names an object, and not a kind. */
function isObjectPath(path: string): boolean {
  const names = path.split('/').length - 1;
  return names % 2 === (path.startsWith('/apis/') ? 1 : 0);
}

/** Whether a path is one of an object of a kind, in any namespace if that of the kind has none. */
function isOf(path: string, kind: string): boolean {
  const parent = path.slice(0, path.lastIndexOf('/'));
  return parent === kind || parent.replace(/\/namespaces\/[^/]+(?=\/)/, '') === kind;
}

/** Whether a field selector has an object. Only those that leave out namespaces are known. */
function selects(query: URLSearchParams, { metadata }: StoredObject): boolean {
  const terms = query.get('fieldSelector')?.split(',') ?? [];
  return terms.every(term => term !== `metadata.namespace!=${metadata.namespace}`);
}

function pathOf(kind: string, { kind: own, metadata }: StoredObject): string {
  const resource = typeof own === 'string' ? resourceOf(own) : kind.split('/').at(-1);
  const [root] = kind.split(/\/[^/]+$/);
  const within = metadata.namespace === undefined ? '' : `/namespaces/${metadata.namespace}`;
  return `${root}${within}/${resource}/${metadata.name}`;
}

function resourceOf(kind: string): string {
  const lower = kind.toLowerCase();
  return lower.endsWith('s') ? lower : `${lower}${lower.endsWith('h') ? 'es' : 's'}`;
}

function namespaceOf(path: string): { readonly namespace?: string } {
  const [, namespace] = /\/namespaces\/([^/]+)\/[^/]+\/[^/]+$/.exec(path) ?? [];
  return namespace === undefined ? {} : { namespace };
}

/** RFC 7396. */
function mergeInto(before: unknown, change: unknown): unknown {
  if (typeof change !== 'object' || change === null || Array.isArray(change)) return change;
  const merged: Record<string, unknown> =
    typeof before === 'object' && before !== null && !Array.isArray(before) ? { ...before } : {};
  for (const [key, value] of Object.entries(change)) {
    if (value === null) delete merged[key];
    else merged[key] = mergeInto(merged[key], value);
  }
  return merged;
}

function statusOf(code: number, message: string): object {
  return { kind: 'Status', apiVersion: 'v1', status: code < 300 ? 'Success' : 'Failure', message, code };
}

function answer(response: ServerResponse, code: number, body: object): void {
  response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
