import type { Credential } from '../../../src/oci/credential.ts';
import type { Descriptor } from '../../../src/oci/descriptor.ts';
import type { RegistryClient } from '../../../src/registry/client.ts';
import { type FaultyRegistry, openFaultyRegistry } from './faulty-registry.ts';
import type { Guard } from './guard.ts';
import { keyringOf } from './registry-client.ts';

export const alice: Credential = {
  kind: 'basic',
  source: 'nodePublishSecretRef',
  holder: { kind: 'secret' },
  username: 'alice',
  password: 'pass:wörd',
};
export const mallory: Credential = { ...alice, source: '--auth-file', password: 'guess-of-mallory' };
export const identity: Credential & { readonly kind: 'identity-token' } = {
  kind: 'identity-token',
  source: '--auth-file',
  holder: { kind: 'node' },
  token: 'refresh-me',
};

/** Guards that admit alice. */
export const basic = { kind: 'basic', username: 'alice', password: 'pass:wörd' } as const;
export const bearer = {
  kind: 'bearer',
  username: 'alice',
  password: 'pass:wörd',
  refreshToken: 'refresh-me',
} as const;

/** A guarded registry with `team/model:v1` in it. */
export async function openGuardedRegistry(guard: Guard): Promise<FaultyRegistry> {
  const registry = await openFaultyRegistry({ guard });
  await registry.push('team/model', 'v1', [{ name: 'a', bytes: Buffer.from('a') }]);
  return registry;
}

/** Resolves the tag `v1` with a credential. */
export async function resolveAs(
  credential: Credential,
  client: RegistryClient,
  registry: FaultyRegistry,
  path = 'team/model',
): Promise<Descriptor> {
  const reference = { registry: registry.host, path, tag: 'v1' };
  const found = await client.resolve(reference, keyringOf(credential), new AbortController().signal);
  return found.descriptor;
}

/** The number of token requests. */
export function countTokens(registry: FaultyRegistry): number {
  return registry.asked.filter(({ path }) => path.startsWith('/token')).length;
}
