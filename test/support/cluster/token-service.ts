import { createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { alice, hosts } from './registries.ts';
import { nodeAddress } from './root.ts';

/** A service that gives one service account the credential of a registry, as those of clouds do. */
export const tokenService = {
  host: 'registry.test:5003',
  audience: 'registry.test',
  subject: 'system:serviceaccount:default:reader',
  /** An annotation of the service account, which must say `reader`. */
  annotation: 'registry.test/role',
} as const;

export const tokenServiceProgram: string = fileURLToPath(import.meta.url);

type ProviderRequest = {
  readonly apiVersion: string;
  readonly serviceAccountToken: string;
  readonly serviceAccountAnnotations: Readonly<Record<string, string>>;
};
type Claims = { readonly aud: readonly string[]; readonly sub: string; readonly exp: number };

/** Answers the requests of a credential provider. */
function serve(): void {
  const key = createPublicKey(readFileSync('/etc/kubernetes/service-accounts.pub'));

  function isReader({ serviceAccountToken, serviceAccountAnnotations }: ProviderRequest): boolean {
    const [header = '', claims = '', signature = ''] = serviceAccountToken.split('.');
    const signed = Buffer.from(`${header}.${claims}`);
    if (!verify('RSA-SHA256', signed, key, Buffer.from(signature, 'base64url'))) return false;
    const { aud, sub, exp } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as Claims;
    const isInTime = exp * 1000 > Date.now();
    const isRightAccount = aud.includes(tokenService.audience) && sub === tokenService.subject;
    return isInTime && isRightAccount && serviceAccountAnnotations[tokenService.annotation] === 'reader';
  }

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const asked = (await json(request)) as ProviderRequest;
    const auth = isReader(asked) ? { [hosts.private]: alice } : {};
    const { apiVersion } = asked;
    response.end(
      JSON.stringify({ kind: 'CredentialProviderResponse', apiVersion, cacheKeyType: 'Image', auth }),
    );
  };
  const server = createServer((request, response) => void answer(request, response));
  server.listen(Number(tokenService.host.split(':')[1]), nodeAddress);
}

if (import.meta.main) serve();
