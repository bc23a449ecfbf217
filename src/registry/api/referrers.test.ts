import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { createServer } from '../../../test/support/os/http.ts';
import { anonymous, openTestClient } from '../../../test/support/registry/registry-client.ts';
import { toDigest } from '../../oci/digest.ts';
import { ociIndex } from '../../oci/manifest.ts';

const { signal } = new AbortController();
const subject = toDigest('sha256', '0'.repeat(64));
const wanted = 'application/vnd.example.bundle+json';

const descriptor = (nth: number, artifactType = wanted) => ({
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  digest: toDigest('sha256', String(nth).padStart(64, '0')),
  size: 100,
  artifactType,
});

type Answer = (query: URLSearchParams, response: ServerResponse) => void;

function send(response: ServerResponse, manifests: readonly object[], link?: string): void {
  response.setHeader('content-type', ociIndex);
  if (link !== undefined) response.setHeader('link', link);
  response.end(JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests }));
}

/** Returns the last digits of the digests that a registry lists, and the requests it received. */
async function list(answer: Answer) {
  const asked: string[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    asked.push(request.url ?? '');
    answer(new URL(request.url ?? '', 'http://x').searchParams, response);
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  try {
    await using client = openTestClient();
    const registry = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const repository = { registry, path: 'team/model' };
    const found = await client.referrers(repository, subject, wanted, anonymous, signal);
    return { found: found?.map(({ digest }) => Number(digest.slice(-3))), asked };
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

describe('the list of referrers', () => {
  test('is requested by type, and filtered if the registry does not filter', async () => {
    const { found, asked } = await list((_, response) =>
      send(response, [descriptor(1, 'application/x-sbom'), descriptor(2)]),
    );
    assert.deepEqual(found, [2]);
    assert.deepEqual(asked, [
      `/v2/team/model/referrers/${subject}?artifactType=${encodeURIComponent(wanted)}`,
    ]);
  });

  test('that is compressed is not mistaken for a missing list', async () => {
    const packed: Answer = (_, response) => {
      response.setHeader('content-encoding', 'gzip');
      response.end(gzipSync('{}'));
    };
    await assert.rejects(list(packed), {
      code: 'unavailable',
      message:
        /with no list for page 1 of its referrers \(with Content-Encoding gzip, which was not asked for\)/,
    });
  });

  for (const [what, link] of [
    [
      'an address without a host',
      (next: number) => `</v2/team/model/referrers/${subject}?n=${next}>; rel="next"`,
    ],
    ['a query alone', (next: number) => `<?n=${next}>; rel=next`],
    ['one link of several', (next: number) => `<?n=0>; rel="prev", <?n=${next}>; title="x"; rel="last next"`],
    [
      'an address elsewhere, of which the query counts',
      (next: number) => `<http://127.0.0.1:1/x?n=${next}>; rel="next"`,
    ],
  ] as const) {
    test(`continues at the next page, which is named by ${what}`, async () => {
      const { found, asked } = await list((query, response) => {
        const page = Number(query.get('n') ?? 1);
        send(response, [descriptor(page)], page < 3 ? link(page + 1) : undefined);
      });
      assert.deepEqual(found, [1, 2, 3]);
      assert.ok(asked.every(path => path.startsWith(`/v2/team/model/referrers/${subject}?`)));
    });
  }

  test('that never ends is refused', async () => {
    await assert.rejects(
      list((_, response) => send(response, [], '<?n=1>; rel="next"')),
      { code: 'unmountable', message: /the list of its referrers is above 100 pages or 16 MiB/ },
    );
  });

  for (const [what, status, body] of [
    ['a web page', 200, '<html>'],
    ['a manifest', 200, JSON.stringify({ schemaVersion: 2, config: descriptor(1), layers: [] })],
    ['nothing', 200, ''],
    ['a 404', 404, ''],
    ['a 400', 400, ''],
    ['a 405', 405, ''],
  ] as const) {
    test(`is empty if ${what} comes in its place`, async () => {
      const { found } = await list((_, response) => response.writeHead(status).end(body));
      assert.equal(found, undefined);
    });
  }

  test('that breaks off is refused', async () => {
    const answer: Answer = (query, response) =>
      query.has('n') ? response.end('<html>') : send(response, [descriptor(1)], '<?n=2>; rel="next"');
    await assert.rejects(list(answer), { code: 'unavailable', message: /with no list for page 2/ });
  });
});
