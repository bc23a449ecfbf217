import type { KubeObjects, NodeLease, OpenLease } from '../ports/kube-objects.ts';
import { isObject, type JsonObject } from '../util/json.ts';

/** A lease as it was seen: since when, by the clock of this node, it has not changed. */
type Sighting = { readonly version: string; readonly at: number };

/**
 * Opens Leases (coordination.k8s.io/v1) in a namespace, for this node. The daemon needs the rule `{apiGroups:
 * [coordination.k8s.io], resources: [leases], verbs: [get, create, update, delete]}` there.
 *
 * @param now milliseconds of a monotonic clock.
 */
export function openLeases(
  objects: KubeObjects,
  { namespace, nodeId }: { readonly namespace: () => string; readonly nodeId: string },
  now: () => number = () => performance.now(),
): OpenLease {
  return (name, seconds): NodeLease => {
    let seen: Sighting | undefined;
    let renewedAt: number | undefined;
    let holder = '';

    const kind = () => ['apis', 'coordination.k8s.io', 'v1', 'namespaces', namespace(), 'leases'];

    /** The lease as this node wants it. `since`: when it got it. */
    const ours = (resourceVersion: string | undefined, transitions: number): object => {
      const at = new Date().toISOString().replace('Z', '000Z'); // MicroTime
      return {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name, namespace: namespace(), ...(resourceVersion && { resourceVersion }) },
        spec: {
          holderIdentity: nodeId,
          leaseDurationSeconds: seconds,
          acquireTime: at,
          renewTime: at,
          leaseTransitions: transitions,
        },
      };
    };

    /** Takes over what the API answered to a write; undefined: another node was faster. */
    const settle = (answer: unknown, askedAt: number): boolean => {
      seen = answer === undefined ? undefined : { version: versionOf(answer), at: askedAt };
      renewedAt = answer === undefined ? undefined : askedAt;
      return answer !== undefined;
    };

    const isHeld = (): boolean => renewedAt !== undefined && now() - renewedAt < seconds * 1000;

    return {
      isHeld,
      holder: () => holder,
      async take(signal) {
        const askedAt = now();
        holder = '';
        const found = await objects.get([...kind(), name], signal);
        if (found === undefined)
          return settle(await objects.create(kind(), ours(undefined, 0), signal), askedAt);
        const version = versionOf(found);
        if (seen?.version !== version) seen = { version, at: now() };
        const { holderIdentity, leaseDurationSeconds, leaseTransitions } = specOf(found);
        holder = typeof holderIdentity === 'string' ? holderIdentity : '';
        const duration = typeof leaseDurationSeconds === 'number' ? leaseDurationSeconds : seconds;
        const isOther = holder !== '' && holder !== nodeId;
        if (isOther && now() - seen.at < duration * 1000) {
          renewedAt = undefined;
          return false;
        }
        const transitions = typeof leaseTransitions === 'number' ? leaseTransitions : 0;
        const next = ours(version, holder === nodeId ? transitions : transitions + 1);
        return settle(await objects.replace([...kind(), name], next, signal), askedAt);
      },
      async release(signal) {
        const version = isHeld() ? seen?.version : undefined;
        renewedAt = undefined;
        if (version !== undefined) await objects.remove([...kind(), name], version, signal);
      },
    };
  };
}

function versionOf(object: unknown): string {
  const metadata = isObject(object) ? object['metadata'] : undefined;
  const version = isObject(metadata) ? metadata['resourceVersion'] : undefined;
  return typeof version === 'string' ? version : '';
}

function specOf(object: unknown): JsonObject {
  const spec = isObject(object) ? object['spec'] : undefined;
  return isObject(spec) ? spec : {};
}
