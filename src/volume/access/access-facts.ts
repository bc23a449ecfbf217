import type { Holder } from '../../oci/credential.ts';
import type { AccessRecord } from '../../ports/records.ts';
import type { Pod } from '../../ports/request.ts';

/** Pods, accounts and secrets that are remembered, latest first. The registry is asked again for others. */
const mostAskers = 1000;

/** The record of a repository, in sets. `open` is a part of `digests` here, and apart from it on disk. */
export type AccessFacts = {
  -readonly [Field in keyof AccessRecord]: AccessRecord[Field] extends readonly (infer Item)[]
    ? Set<Item>
    : AccessRecord[Field];
};

/** Adds a granted access. Returns whether it is new. */
export function addHolder(facts: AccessFacts, holder: Holder, pod?: Pod, secret?: string): boolean {
  switch (holder.kind) {
    case 'anyone':
      return !facts.anonymous && (facts.anonymous = true);
    case 'node':
      return !facts.node && (facts.node = true);
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

/** The record before any registry was asked. */
export function nothingKnown(repository: string): AccessRecord {
  const callers = { anonymous: false, node: false, accounts: [], pods: [], secrets: [] };
  return { repository, ...callers, digests: [], open: [], mirrored: [], loaded: [] };
}

export function toFacts(record: AccessRecord): AccessFacts {
  return {
    ...record,
    accounts: new Set(record.accounts),
    pods: new Set(record.pods),
    secrets: new Set(record.secrets),
    digests: new Set([...record.digests, ...record.open]),
    open: new Set(record.open),
    mirrored: new Set(record.mirrored),
    loaded: new Set(record.loaded),
  };
}

export function toRecord(facts: AccessFacts): AccessRecord {
  return {
    ...facts,
    accounts: [...facts.accounts],
    pods: [...facts.pods],
    secrets: [...facts.secrets],
    digests: [...facts.digests].filter(digest => !facts.open.has(digest)),
    open: [...facts.open],
    mirrored: [...facts.mirrored],
    loaded: [...facts.loaded],
  };
}
