import type { Holder } from '../../oci/credential.ts';
import type { Digest } from '../../oci/digest.ts';
import type { AccessRecord } from '../../ports/records.ts';
import type { Pod } from '../../ports/request.ts';

/** Pods, accounts and secrets that are remembered, latest first. The registry is asked again for others. */
const mostAskers = 1000;

/** What is known of a repository: the callers that were admitted, and the content that was seen in it. */
export type AccessFacts = {
  anonymous: boolean;
  node: boolean;
  readonly accounts: Set<string>;
  readonly pods: Set<string>;
  readonly secrets: Set<string>;
  readonly digests: Set<Digest>;
  readonly mirrored: Set<Digest>;
};

/** Adds a granted access. Returns whether it is new. */
export function addHolder(
  facts: AccessFacts,
  holder: Holder,
  pod: Pod | undefined,
  secret: string | undefined,
): boolean {
  switch (holder.kind) {
    case 'anyone': {
      const isNew = !facts.anonymous;
      facts.anonymous = true;
      return isNew;
    }
    case 'node': {
      const isNew = !facts.node;
      facts.node = true;
      return isNew;
    }
    case 'service-account':
      return addAsker(facts.accounts, `${holder.namespace}/${holder.name}`);
    case 'pod':
      return pod !== undefined && addAsker(facts.pods, pod.uid);
    case 'secret': {
      const newPod = pod !== undefined && addAsker(facts.pods, pod.uid);
      const newSecret = secret !== undefined && addAsker(facts.secrets, secret);
      return newPod || newSecret;
    }
  }
}

function addAsker(askers: Set<string>, asker: string): boolean {
  if (askers.has(asker)) return false;
  askers.add(asker);
  const [oldest] = askers;
  if (askers.size > mostAskers && oldest !== undefined) askers.delete(oldest);
  return true;
}

export function accountOf({ namespace, serviceAccount }: Pod): string | undefined {
  return serviceAccount === undefined ? undefined : `${namespace}/${serviceAccount}`;
}

/** The facts before any registry was asked. */
export function nothingKnown(): AccessFacts {
  return {
    anonymous: false,
    node: false,
    accounts: new Set(),
    pods: new Set(),
    secrets: new Set(),
    digests: new Set(),
    mirrored: new Set(),
  };
}

export function toFacts({
  anonymous,
  node,
  accounts,
  pods,
  secrets,
  digests,
  mirrored,
}: AccessRecord): AccessFacts {
  return {
    anonymous,
    node,
    accounts: new Set(accounts),
    pods: new Set(pods),
    secrets: new Set(secrets),
    digests: new Set(digests),
    mirrored: new Set(mirrored),
  };
}

export function toRecord(
  repository: string,
  { anonymous, node, accounts, pods, secrets, digests, mirrored }: AccessFacts,
): AccessRecord {
  return {
    repository,
    anonymous,
    node,
    accounts: [...accounts],
    pods: [...pods],
    secrets: [...secrets],
    digests: [...digests],
    mirrored: [...mirrored],
  };
}
