import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { deliver, openDemoRegistry, type Reply } from '../../../src/cli/demo/registry.ts';
import { ociIndex } from '../../../src/oci/manifest.ts';
import { createServer } from '../os/http.ts';
import { temporaryDirectory } from '../os/temporary.ts';

export type ReferrersRegistry = AsyncDisposable & { readonly host: string };

const referrersPath = /^\/v2\/(?<name>.+)\/referrers\/(?<digest>[^/?]+)/;
const manifestPath = /^\/v2\/(?<name>.+)\/manifests\/[^/?]+$/;

type Manifest = {
  readonly mediaType: string;
  readonly subject?: { readonly digest: string };
  readonly artifactType?: string;
  readonly annotations?: object;
};

/** A registry with the referrers API (OCI distribution spec, "Listing Referrers"), which the others here lack. */
export async function startReferrersRegistry(): Promise<ReferrersRegistry> {
  const directory = await temporaryDirectory();
  const registry = openDemoRegistry(directory.path);
  const referring = new Map<string, object[]>();

  /** Records referrers, and reports that in a header. */
  async function putManifest(request: IncomingMessage, name: string): Promise<Reply> {
    const bytes = Buffer.concat(await Array.fromAsync<Uint8Array>(request));
    const reply = await registry.answer(
      Object.assign(Readable.from([bytes]), {
        method: request.method,
        url: request.url,
        headers: request.headers,
      }) as unknown as IncomingMessage,
    );
    const { mediaType, subject, artifactType, annotations } = JSON.parse(bytes.toString()) as Manifest;
    if (subject === undefined) return reply;
    const digest = reply.headers['location']?.split('/').at(-1) ?? '';
    const key = `${name}@${subject.digest}`;
    const descriptor = { mediaType, digest, size: bytes.length, artifactType, annotations };
    referring.set(key, [...(referring.get(key) ?? []), descriptor]);
    return { ...reply, headers: { ...reply.headers, 'oci-subject': subject.digest } };
  }

  function listReferrers(key: string): Reply {
    const index = { schemaVersion: 2, mediaType: ociIndex, manifests: referring.get(key) ?? [] };
    const body = Buffer.from(JSON.stringify(index));
    const headers = { 'content-type': ociIndex, 'content-length': String(body.length) };
    return { status: 200, headers, body: [body] };
  }

  async function answer(request: IncomingMessage): Promise<Reply> {
    const listed = referrersPath.exec(request.url ?? '')?.groups;
    if (listed !== undefined) return listReferrers(`${listed['name']}@${listed['digest']}`);
    const put = request.method === 'PUT' ? manifestPath.exec(request.url ?? '')?.groups : undefined;
    return put === undefined ? await registry.answer(request) : await putManifest(request, put['name'] ?? '');
  }

  const server = createServer((request, response) => {
    void answer(request).then(reply => deliver(reply, response));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise(resolve => server.close(resolve));
      await directory[Symbol.asyncDispose]();
    },
  };
}
