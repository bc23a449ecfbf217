import type { LeaseObjects, NodeLease, OpenLease } from '../ports/kube-objects.ts';
import { fieldAt, isObject, type JsonObject } from '../util/json.ts';
import { pathOfKind } from './objects.ts';

/** How the names of all Leases of the driver start. The admission policy of the chart admits no others. */
const prefix = 'oci-artifact-csi-';

/** A lease as it was seen: since when, by the clock of this node, it has not changed. */
type Sighting = { readonly version: string; readonly at: number };

/**
 * Opens Leases (coordination.k8s.io/v1) in a namespace, for this node. The daemon needs the rule `{apiGroups:
 * [coordination.k8s.io], resources: [leases], verbs: [get, create, update, delete]}` there.
 *
 * @param now milliseconds of a monotonic clock.
 */
export function openLeases(
  objects: LeaseObjects,
  { namespace, nodeId }: { readonly namespace: () => string; readonly nodeId: string },
  now: () => number = () => performance.now(),
): OpenLease {
  return (suffix, seconds): NodeLease => {
    const name = `${prefix}${suffix}`;
    let seen: Sighting | undefined;
    let renewedAt: number | undefined;
    /** What this node wrote last, and has not removed. No other node is known to have changed it. */
    let own: string | undefined;
    let acquiredAt: string | undefined;
    let transitions = 0;
    let holder = '';

    const isHeld = (): boolean => renewedAt !== undefined && now() - renewedAt < seconds * 1000;

    const kind = () => pathOfKind('coordination.k8s.io', 'v1', 'leases', { namespace: namespace() });

    /** The lease as this node wants it. Without a version, it is a new one. */
    const ours = (resourceVersion?: string): object => {
      const at = toMicroTime(new Date());
      if (!isHeld()) acquiredAt = at;
      return {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name, namespace: namespace(), ...(resourceVersion && { resourceVersion }) },
        spec: {
          holderIdentity: nodeId,
          leaseDurationSeconds: seconds,
          acquireTime: acquiredAt ?? at,
          renewTime: at,
          leaseTransitions: transitions,
        },
      };
    };

    /** Takes over what the API answered to a write; undefined: another node was faster. */
    const settle = (answer: unknown, askedAt: number): boolean => {
      seen = answer === undefined ? undefined : { version: versionOf(answer), at: askedAt };
      renewedAt = answer === undefined ? undefined : askedAt;
      own = seen?.version;
      return answer !== undefined;
    };

    return {
      isHeld,
      holder: () => holder,
      async take(signal) {
        const askedAt = now();
        if (isHeld() && seen !== undefined) {
          const renewed = await objects.replace([...kind(), name], ours(seen.version), signal);
          if (renewed !== undefined) return settle(renewed, askedAt);
        }
        holder = '';
        const found = await objects.get([...kind(), name], signal);
        if (found === undefined) return settle(await objects.create(kind(), ours(), signal), askedAt);
        const version = versionOf(found);
        if (seen?.version !== version) seen = { version, at: now() };
        const { holderIdentity, leaseDurationSeconds, leaseTransitions } = specOf(found);
        holder = typeof holderIdentity === 'string' ? holderIdentity : '';
        transitions = typeof leaseTransitions === 'number' ? leaseTransitions : 0;
        // A node that was taken over must not keep it for longer than others would.
        const duration =
          typeof leaseDurationSeconds === 'number' ? Math.min(leaseDurationSeconds, seconds) : seconds;
        const isOther = holder !== '' && holder !== nodeId;
        if (isOther && now() - seen.at < duration * 1000) {
          renewedAt = own = undefined;
          return false;
        }
        if (holder !== nodeId) transitions++;
        return settle(await objects.replace([...kind(), name], ours(version), signal), askedAt);
      },
      async release(signal) {
        renewedAt = undefined;
        if (own === undefined) return;
        await objects.remove([...kind(), name], own, signal);
        own = undefined;
      },
    };
  };
}

function toMicroTime(date: Date): string {
  return date.toISOString().replace('Z', '000Z');
}

function versionOf(object: unknown): string {
  const version = fieldAt(object, 'metadata', 'resourceVersion');
  return typeof version === 'string' ? version : '';
}

function specOf(object: unknown): JsonObject {
  const spec = fieldAt(object, 'spec');
  return isObject(spec) ? spec : {};
}
