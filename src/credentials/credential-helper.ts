import type { Credential } from '../oci/credential.ts';
import { ArtifactError } from '../util/error.ts';
import { maxRuns, runProgram } from '../util/helper-process.ts';
import { parseJson } from '../util/json.ts';
import { createMemo } from '../util/memo.ts';
import { createKeyedSemaphore } from '../util/mutex.ts';
import { type CredentialCandidate, type CredentialOrigin, toBasic } from './docker-config.ts';

/** Programs `docker-credential-<name>` on PATH, as used by docker login. */
export type CredentialHelpers = {
  /**
   * Returns the credential of a helper, or undefined if it has none. An answer is cached for a minute.
   *
   * @throws ArtifactError `unavailable` if the helper fails; it names the helper and quotes none of its output.
   */
  ask(
    program: CredentialCandidate & { readonly kind: 'program' },
    signal: AbortSignal,
  ): Promise<Credential | undefined>;
};

const ttlMs = 60_000;
const limitMs = 30_000;
/** What docker's own helpers write, with exit code 1, for an unknown server. */
const notFound = 'credentials not found in native keychain';

/** Disposing it ends running helpers. */
export function openCredentialHelpers(closing: AbortSignal): CredentialHelpers {
  const memo = createMemo<{ readonly credential: Credential | undefined }>();
  const runs = createKeyedSemaphore(maxRuns);
  return {
    async ask({ name, server, field, origin }, signal) {
      const path = `docker-credential-${name}`;
      const source: CredentialOrigin = {
        ...origin,
        name: `${path}, ${field} of ${origin.name}`,
        code: 'unavailable',
      };
      const answer = await memo.recall(
        JSON.stringify([name, server, origin.name]),
        async () => {
          using _run = await runs.acquire(path, closing);
          const program = { path, args: ['get'], environment: {}, input: `${server}\n`, limitMs };
          const { code, output } = await runProgram(program, closing);
          return { value: { credential: toCredential(code, output, source, server) }, forMs: ttlMs };
        },
        signal,
      );
      return answer.credential;
    },
  };
}

function toCredential(
  code: number,
  output: string,
  source: CredentialOrigin,
  server: string,
): Credential | undefined {
  if (code !== 0) {
    if (output.trim() === notFound) return undefined;
    throw new ArtifactError(
      'unavailable',
      `${source.name} ended with exit code ${code}; run it by hand with "get" and ${server} on its input`,
    );
  }
  let answer: unknown;
  try {
    answer = parseJson(output);
  } catch {
    answer = undefined;
  }
  const { Username: username, Secret: secret } = (answer ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof username !== 'string' || typeof secret !== 'string') {
    throw new ArtifactError('unavailable', `${source.name} answered no JSON with Username and Secret`);
  }
  if (username === '<token>') {
    return {
      kind: 'identity-token',
      holder: source.holder,
      source: `${source.name} (${server})`,
      token: secret,
    };
  }
  return toBasic(username, secret, server, source);
}
