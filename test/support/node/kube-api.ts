import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Cluster, ClusterAccess } from '../../../src/kube/cluster.ts';
import { temporaryDirectory } from '../os/temporary.ts';
import { makeCertificate } from '../signing/certificate.ts';

/** The API's response for a path: an object, a status with a message, or no response. */
export type KubeAnswer =
  | { readonly kind: 'object'; readonly object: unknown }
  | { readonly kind: 'status'; readonly code: number; readonly message: string }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'silence' };

export type TestKubeApi = AsyncDisposable & {
  /** A file for KUBECONFIG. Its token is `token`. */
  readonly kubeconfig: string;
  readonly cluster: Pick<Cluster, 'access'>;
  /** The paths of all requests so far, such as `/api/v1/namespaces/shop/pods/web`. */
  readonly asked: readonly string[];
  /** Sets the response for a path, or for a path with a query; the default is 404. */
  answer(path: string, answer: KubeAnswer): void;
  object(path: string, object: unknown): void;
};

export const token = 'kube-S3CRET-token';

/** A Kubernetes API server on loopback, with TLS, with the responses of a test. */
export async function openKubeApiServer(): Promise<TestKubeApi> {
  const directory = await temporaryDirectory();
  const certificate = makeCertificate();
  const answers = new Map<string, KubeAnswer>();
  const asked: string[] = [];
  const server = createServer(certificate, (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'https://api.test');
    asked.push(pathname);
    const known = request.headers.authorization === `Bearer ${token}`;
    const answer: KubeAnswer = known
      ? (answers.get(request.url ?? '') ??
        answers.get(pathname) ?? { kind: 'status', code: 404, message: 'not found' })
      : { kind: 'status', code: 401, message: 'Unauthorized' };
    if (answer.kind === 'silence') return;
    if (answer.kind === 'text') return void response.writeHead(200).end(answer.text);
    const code = answer.kind === 'object' ? 200 : answer.code;
    const body =
      answer.kind === 'object'
        ? answer.object
        : { kind: 'Status', apiVersion: 'v1', status: 'Failure', message: answer.message, code };
    response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const kubeconfig = join(directory.path, 'kubeconfig');
  const url = `https://127.0.0.1:${port}`;
  await writeFile(kubeconfig, toKubeconfig(url, certificate.cert, token));
  const access: ClusterAccess = {
    url,
    credentials: async () => ({ ca: certificate.cert, headers: { authorization: `Bearer ${token}` } }),
  };
  return {
    kubeconfig,
    cluster: { access: () => access },
    asked,
    answer: (path, answer) => void answers.set(path, answer),
    object: (path, object) => void answers.set(path, { kind: 'object', object }),
    async [Symbol.asyncDispose]() {
      const closed = new Promise(resolve => server.close(resolve));
      server.closeAllConnections();
      await closed;
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** A kubeconfig as JSON, which is YAML; with a token, or another user. */
export function toKubeconfig(server: string, ca: string, bearer: string | object): string {
  const authority = Buffer.from(ca).toString('base64');
  const user = typeof bearer === 'string' ? { token: bearer } : bearer;
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server, 'certificate-authority-data': authority } }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  });
}

/** The path of an object in the API. */
export function pathOf(
  kind: 'pods' | 'serviceaccounts' | 'secrets',
  namespace: string,
  name: string,
): string {
  return `/api/v1/namespaces/${namespace}/${kind}/${name}`;
}

/** The path of a namespace in the API. */
export function namespacePath(name: string): string {
  return `/api/v1/namespaces/${name}`;
}

/** A secret object of kubernetes.io/dockerconfigjson. */
export function pullSecretObject(auths: Readonly<Record<string, unknown>>): unknown {
  const config = Buffer.from(JSON.stringify({ auths })).toString('base64');
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/dockerconfigjson',
    data: { '.dockerconfigjson': config },
  };
}
