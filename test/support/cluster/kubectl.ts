import { setTimeout as sleep } from 'node:timers/promises';
import type { Machine } from './machine.ts';

/** An Event of a pod, as far as tests look at it. */
export type PodEvent = {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly count?: number;
  /** `component`: the program that sent it. */
  readonly source: { readonly component?: string };
};

/** What a person who uses the cluster does, by kubectl. Pods are those of the namespace `default`, or `namespace/name`. */
export type Kubectl = {
  /** Runs kubectl and returns its output. @throws with its standard error. */
  readonly kubectl: (...args: readonly string[]) => Promise<string>;
  readonly apply: (...objects: readonly object[]) => Promise<void>;
  /** Waits until pods are ready. @throws with their events. */
  readonly ready: (...pods: readonly string[]) => Promise<void>;
  /** Deletes pods, and waits until they are gone. */
  readonly remove: (...pods: readonly string[]) => Promise<void>;
  /** Runs a command in a pod; returns its output without the last line break. */
  readonly exec: (pod: string, ...command: readonly string[]) => Promise<string>;
  /** The events of a pod, the latest last. */
  readonly podEvents: (pod: string) => Promise<readonly PodEvent[]>;
  /** Their messages. */
  readonly events: (pod: string) => Promise<readonly string[]>;
  /** Waits for an event of a pod whose message matches; returns the message. */
  readonly event: (pod: string, pattern: RegExp) => Promise<string>;
};

const waitMs = 90_000;

export function openKubectl(machine: () => Machine): Kubectl {
  const kubectl = (...args: readonly string[]): Promise<string> => machine().run('kubectl', args);

  async function podEvents(pod: string): Promise<readonly PodEvent[]> {
    const [namespace, name] = locate(pod);
    const selector = `--field-selector=involvedObject.name=${name}`;
    const list = await kubectl(
      'get',
      'events',
      '-n',
      namespace,
      selector,
      '--sort-by=.lastTimestamp',
      '-ojson',
    );
    return (JSON.parse(list) as { items: readonly PodEvent[] }).items;
  }

  const events = async (pod: string): Promise<readonly string[]> =>
    (await podEvents(pod)).map(({ message }) => message);

  return {
    kubectl,
    podEvents,
    events,
    async apply(...objects) {
      const list = { apiVersion: 'v1', kind: 'List', items: objects };
      await machine().run('kubectl', ['apply', '--filename=-'], JSON.stringify(list));
    },
    async ready(...pods) {
      for (const [namespace, names] of byNamespace(pods)) {
        try {
          const patience = `--timeout=${waitMs / 1000}s`;
          await kubectl('wait', '-n', namespace, '--for=condition=Ready', patience, ...names);
        } catch (error) {
          const told = await Promise.all(names.map(name => events(`${namespace}/${name.slice(4)}`)));
          throw new Error(`${String(error)}\n${told.flat().join('\n')}`, { cause: error });
        }
      }
    },
    async remove(...pods) {
      for (const [namespace, names] of byNamespace(pods))
        await kubectl('delete', '-n', namespace, '--timeout=90s', ...names);
    },
    async exec(pod, ...command) {
      const [namespace, name] = locate(pod);
      const output = await kubectl('exec', '-n', namespace, name, '--', ...command);
      return output.replace(/\n$/, '');
    },
    async event(pod, pattern) {
      let seen: readonly string[] = [];
      const matches = async (): Promise<boolean> => {
        seen = await events(pod);
        return seen.some(message => pattern.test(message));
      };
      await waitFor(`an event of ${pod} that matches ${pattern}`, matches).catch((error: unknown) => {
        throw new Error(`${String(error)}, but\n${seen.join('\n')}`, { cause: error });
      });
      return seen.findLast(message => pattern.test(message)) ?? '';
    },
  };
}

const locate = (pod: string): readonly [namespace: string, name: string] => {
  const [namespace = '', name] = pod.split('/');
  return name === undefined ? ['default', namespace] : [namespace, name];
};

function byNamespace(pods: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const groups = Map.groupBy(pods.map(locate), ([namespace]) => namespace);
  return new Map([...groups].map(([namespace, of]) => [namespace, of.map(([, name]) => `pod/${name}`)]));
}

/** Waits until a condition holds. @throws naming it after `limitMs`. */
export async function waitFor(
  what: string,
  holds: () => boolean | Promise<boolean>,
  limitMs: number = waitMs,
): Promise<void> {
  for (const limit = performance.now() + limitMs; !(await holds()); ) {
    if (performance.now() > limit) throw new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(200);
  }
}
