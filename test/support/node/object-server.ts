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
};

/**
 * The part of a Kubernetes API server that stores objects of any kind, on loopback with TLS, with versions that a write
 * must name.
 */
export async function openObjectServer(): Promise<ObjectServer> {
  const directory = await temporaryDirectory();
  const certificate = makeCertificate();
  const stored = new Map<string, StoredObject>();
  const asked: { method: string; url: string; at: number }[] = [];
  let version = 1;
  let refusal: (method: string, path: string) => number | undefined = () => undefined;

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
    return after;
  };

  const respond = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { method = '', url = '', headers } = request;
    const { pathname: path } = new URL(url, 'https://api.test');
    asked.push({ method, url, at: performance.now() });
    const text = Buffer.concat(await Array.fromAsync(request)).toString();
    const body = text === '' ? {} : (JSON.parse(text) as Partial<StoredObject>);
    if (headers.authorization !== `Bearer ${token}`) return answer(response, 401, statusOf(401, ''));
    const code = refusal(method, path);
    if (code !== undefined) return answer(response, code, statusOf(code, `${method} is forbidden`));
    const found = stored.get(path);
    const isStale = body.metadata?.resourceVersion !== found?.metadata.resourceVersion;
    switch (method) {
      case 'GET':
        return found === undefined
          ? answer(response, 404, statusOf(404, path))
          : answer(response, 200, found);
      case 'POST': {
        const created = `${path}/${body.metadata?.name}`;
        return stored.has(created)
          ? answer(response, 409, statusOf(409, 'it exists'))
          : answer(response, 201, put(created, body));
      }
      case 'PUT':
        return isStale
          ? answer(response, 409, statusOf(409, 'it has changed'))
          : answer(response, 200, put(path, body));
      case 'DELETE':
        if (
          (body['preconditions']?.resourceVersion ?? found?.metadata.resourceVersion) !==
          found?.metadata.resourceVersion
        )
          return answer(response, 409, statusOf(409, 'it has changed'));
        stored.delete(path);
        return answer(response, 200, statusOf(200, ''));
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
    remove: path => void stored.delete(path),
    refuse(next) {
      refusal = next;
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise(resolve => server.close(resolve));
      server.closeAllConnections();
      await closed;
      await directory[Symbol.asyncDispose]();
    },
  };
}

function namespaceOf(path: string): { readonly namespace?: string } {
  const [, namespace] = /\/namespaces\/([^/]+)\/[^/]+\/[^/]+$/.exec(path) ?? [];
  return namespace === undefined ? {} : { namespace };
}

function statusOf(code: number, message: string): object {
  return { kind: 'Status', apiVersion: 'v1', status: code < 300 ? 'Success' : 'Failure', message, code };
}

function answer(response: ServerResponse, code: number, body: object): void {
  response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
