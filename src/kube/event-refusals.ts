import { createRecall } from '../util/memo.ts';
/** Namespaces that refused an event, and get none for a while. */
export type EventRefusals = {
  has(namespace: string): boolean;
  /** Notes a refusal, and logs it, unless that was done. */
  note(namespace: string, why: string): void;
  /** The namespace took an event. */
  end(namespace: string): void;
};

/** Namespaces that are remembered. */
const maxNamespaces = 1_000;

const rule = '{apiGroups: [""], resources: [events], verbs: [create, patch]}';

/** @param forMs how long a namespace is left alone, in milliseconds. */
export function createEventRefusals(forMs: number, warn: (text: string) => void): EventRefusals {
  /** Until when, by namespace. */
  const refusals = createRecall<string, number>(maxNamespaces);
  let isRuleMissing = false;

  const tell = (namespace: string, why: string): void => {
    if (/\bcannot (?:create|patch) resource\b/.test(why)) {
      const advice = `bind the service account of this daemon to a ClusterRole with the rule ${rule}`;
      if (!isRuleMissing) warn(`events of pods are refused: ${advice}: ${why}`);
      isRuleMissing = true;
      return;
    }
    // A namespace that is being deleted refuses, too.
    const isKnown = refusals.get(namespace) !== undefined || why.includes('is being terminated');
    if (!isKnown) warn(`events of pods of the namespace ${namespace} are refused: ${why}`);
  };

  return {
    has: namespace => (refusals.get(namespace) ?? 0) > performance.now(),
    note(namespace, why) {
      tell(namespace, why);
      refusals.keep(namespace, performance.now() + forMs);
    },
    end(namespace) {
      refusals.delete(namespace);
      isRuleMissing = false;
    },
  };
}
