import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { type Reply, refuse } from '../../../src/cli/demo/registry.ts';

/** Who may send requests. */
export type Guard =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  | {
      /** Tokens by GET /token (Basic; or anonymous without `username`) and POST /token (with `refreshToken`). */
      readonly kind: 'bearer';
      readonly username?: string;
      readonly password?: string;
      readonly refreshToken?: string;
      /** The realm of the challenge; this registry's own /token by default. */
      readonly realm?: string;
      /** The number of requests for which a token is valid. */
      readonly uses?: number;
      /** The seconds that the token server reports; omitted by default. */
      readonly expiresIn?: number;
      /** False refuses every token at the registry. */
      readonly accept?: boolean;
    };

/**
 * Responds in place of the registry: a challenge, a token, or undefined if the request may pass. `origin` is the
 * registry's.
 */
export function openGuard(
  guard: Guard,
  origin: string,
): (request: IncomingMessage) => Promise<Reply | undefined> {
  const left = new Map<string, number>();

  function challenge(header: string): Reply {
    const reply = refuse(401, 'UNAUTHORIZED', 'authentication required');
    return { ...reply, headers: { ...reply.headers, 'www-authenticate': header } };
  }

  async function token(request: IncomingMessage, bearer: Guard & { kind: 'bearer' }): Promise<Reply> {
    const body = Buffer.concat(await Array.fromAsync<Uint8Array>(request)).toString();
    const fits =
      request.method === 'POST'
        ? new URLSearchParams(body).get('refresh_token') === bearer.refreshToken
        : bearer.username === undefined ||
          request.headers.authorization === basic(bearer.username, bearer.password ?? '');
    if (!fits) return refuse(401, 'UNAUTHORIZED', 'wrong credential');
    const made = randomUUID();
    left.set(made, bearer.uses ?? Number.POSITIVE_INFINITY);
    const answer = Buffer.from(
      JSON.stringify({
        [request.method === 'POST' ? 'access_token' : 'token']: made,
        ...(bearer.expiresIn === undefined ? {} : { expires_in: bearer.expiresIn }),
      }),
    );
    const headers = { 'content-type': 'application/json', 'content-length': String(answer.length) };
    return { status: 200, headers, body: [answer] };
  }

  return async request => {
    const { authorization = '' } = request.headers;
    if (guard.kind === 'basic') {
      return authorization === basic(guard.username, guard.password)
        ? undefined
        : challenge('Basic realm="the registry, of tests"');
    }
    const { pathname } = new URL(request.url ?? '/', origin);
    if (pathname === '/token') return await token(request, guard);
    const made = authorization.slice('Bearer '.length);
    const uses = left.get(made) ?? 0;
    if (uses > 0 && guard.accept !== false) {
      left.set(made, uses - 1);
      return undefined;
    }
    const repository = /^\/v2\/(.+)\/(?:manifests|blobs)\//.exec(pathname)?.[1] ?? '';
    const realm = guard.realm ?? `${origin}/token`;
    return challenge(
      `Bearer realm="${realm}",service="registry, of tests",scope="repository:${repository}:pull"`,
    );
  };
}

function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}
