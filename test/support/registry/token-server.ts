import { randomUUID, sign, X509Certificate } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createServer } from '../os/http.ts';
import { temporaryDirectory } from '../os/temporary.ts';
import { makeCertificate } from '../signing/certificate.ts';

/** The users: passwords by username, and the repositories that each may pull and push. */
export type Users = Readonly<
  Record<string, { readonly password: string; readonly repositories: readonly string[] }>
>;

export type TokenServer = AsyncDisposable & {
  /** The section of a real registry's configuration. */
  readonly auth: Readonly<Record<string, unknown>>;
  /** The users of token requests, in order; empty for anonymous. */
  readonly asked: readonly string[];
};

const service = 'registry.test';
const issuer = 'token-server.test';

/**
 * A token server on loopback (distribution's token specification): GET with Basic, or POST with `<user>:<password>` as
 * the refresh token. A token grants the part of the requested scope that its user may have, possibly nothing.
 */
export async function startTokenServer(users: Users): Promise<TokenServer> {
  const directory = await temporaryDirectory();
  const { cert, key } = makeCertificate();
  const bundle = join(directory.path, 'token.pem');
  await writeFile(bundle, cert);
  const asked: string[] = [];

  const toToken = (user: string, scopes: readonly string[]): string => {
    const now = Math.floor(Date.now() / 1000);
    const access = scopes.flatMap(scope => {
      const [type, name, actions = ''] = scope.split(':');
      const may = name !== undefined && users[user]?.repositories.includes(name);
      return type === 'repository' && may ? [{ type, name, actions: actions.split(',') }] : [];
    });
    const claims = {
      iss: issuer,
      sub: user,
      aud: service,
      exp: now + 300,
      nbf: now - 10,
      iat: now,
      jti: randomUUID(),
    };
    const x5c = [new X509Certificate(cert).raw.toString('base64')];
    const parts = [
      { typ: 'JWT', alg: 'ES256', x5c },
      { ...claims, access },
    ];
    const body = parts.map(part => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
    const signature = sign('sha256', Buffer.from(body), { key, dsaEncoding: 'ieee-p1363' });
    return `${body}.${signature.toString('base64url')}`;
  };

  const answer = async (request: IncomingMessage): Promise<Record<string, unknown> | undefined> => {
    const url = new URL(request.url ?? '/', 'http://token.test');
    const form = new URLSearchParams(Buffer.concat(await Array.fromAsync<Uint8Array>(request)).toString());
    const byPost = request.method === 'POST';
    const basic = /^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    const pair = byPost ? (form.get('refresh_token') ?? '') : Buffer.from(basic ?? '', 'base64').toString();
    const user = pair.slice(0, Math.max(0, pair.indexOf(':')));
    asked.push(user);
    if (pair !== '' && users[user]?.password !== pair.slice(user.length + 1)) return undefined;
    const scopes = (byPost ? [form.get('scope') ?? ''] : url.searchParams.getAll('scope')).flatMap(one =>
      one.split(' '),
    );
    return { [byPost ? 'access_token' : 'token']: toToken(user, scopes), expires_in: 300 };
  };

  const reply = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await answer(request);
    response.writeHead(body === undefined ? 401 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body ?? { errors: [{ code: 'UNAUTHORIZED', message: 'wrong password' }] }));
  };

  const server = createServer((request, response) => void reply(request, response));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    auth: { token: { realm: `http://127.0.0.1:${port}/token`, service, issuer, rootcertbundle: bundle } },
    asked,
    async [Symbol.asyncDispose]() {
      const closed = new Promise(resolve => server.close(resolve));
      server.closeAllConnections();
      await closed;
      await directory[Symbol.asyncDispose]();
    },
  };
}
