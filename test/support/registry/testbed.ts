import { randomBytes } from 'node:crypto';
import { publishRequest, startDaemon, type TestDaemon, type TestNode, testNode } from '../node/daemon.ts';
import { type Outcome, outcomeOf } from '../node/outcome.ts';
import { type Shown, shownOf, verifyBlobs, verifyGone, verifyVolume } from '../node/volume.ts';
import type { Fault } from './fault.ts';
import { type Asked, type FaultyRegistry, openFaultyRegistry } from './faulty-registry.ts';

/** The fault of a repository's responses. */
export type Rule = (asked: Asked) => Fault | undefined;

/** An artifact of one file; `asks` counts the requests for that file so far. */
type Pushed = {
  readonly repository: string;
  readonly reference: string;
  readonly digest: string;
  readonly shown: Shown;
  asks(): readonly Asked[];
};

/** A daemon with a registry whose repositories each have a rule of faults, so that tests can run side by side. */
export type Testbed = AsyncDisposable & {
  readonly registry: FaultyRegistry;
  readonly node: TestNode;
  readonly daemon: TestDaemon;
  readonly rules: Map<string, Rule>;
  /** Pushes random bytes to a repository of their own. */
  push(size: number): Promise<Pushed>;
  /**
   * Publishes while a rule applies. Whatever the result, no wrong bytes are kept, and without the rule the same request
   * succeeds. `asks` counts the requests for the blob under the rule.
   */
  publishUnder(
    rule: Rule,
    size: number,
    byDigest?: boolean,
  ): Promise<Outcome & { readonly asks: readonly Asked[] }>;
};

export async function openTestbed(): Promise<Testbed> {
  await using stack = new AsyncDisposableStack();
  const registry = stack.use(await openFaultyRegistry());
  const rules = new Map<string, Rule>();
  registry.fault(asked => rules.get(/^\/v2\/([^/]+)\//.exec(asked.path)?.[1] ?? '')?.(asked));
  const node = stack.use(await testNode([registry.host]));
  const daemon = stack.use(await startDaemon(node, { flags: { '--max-parallel-downloads': '32' } }));
  let repositories = 0;

  async function push(size: number): Promise<Pushed> {
    const repository = `wire-${++repositories}`;
    const bytes = randomBytes(size);
    const pushed = await registry.push(repository, 'v1', [{ name: 'model.bin', bytes }]);
    const blob = pushed.layers[0]?.digest ?? '';
    return {
      ...pushed,
      repository,
      shown: shownOf([['model.bin', bytes]]),
      asks: () => registry.asked.filter(({ method, path }) => method === 'GET' && path.endsWith(blob)),
    };
  }

  async function publishUnder(rule: Rule, size: number, byDigest = false) {
    const { repository, reference, digest, shown, asks } = await push(size);
    rules.set(repository, rule);
    const request = await publishRequest(node, {
      reference: byDigest ? `${registry.host}/${repository}@${digest}` : reference,
    });
    const outcome = await outcomeOf(daemon.csi.NodePublishVolume(request));
    const asked = asks();
    verifyBlobs(node.stateDir);
    if (outcome.code !== 'OK') verifyGone(request.target_path);
    rules.delete(repository);
    await daemon.csi.NodePublishVolume(request);
    verifyVolume(request.target_path, shown);
    await daemon.csi.NodeUnpublishVolume(request);
    await daemon.artifacts.Prune({});
    return { ...outcome, asks: asked };
  }

  const resources = stack.move();
  return {
    registry,
    node,
    daemon,
    rules,
    push,
    publishUnder,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** A fault of blobs; a function selects it by the number of requests for one. */
export function ofBlob(fault: Fault | ((nth: number) => Fault | undefined)): Rule {
  return ({ path, nth }) => {
    if (!path.includes('/blobs/')) return undefined;
    return typeof fault === 'function' ? fault(nth) : fault;
  };
}

export function ofManifest(fault: Fault, only?: 'HEAD' | 'GET'): Rule {
  return ({ path, method }) =>
    path.includes('/manifests/') && (only === undefined || method === only) ? fault : undefined;
}

/** One fault for each request in turn, then none. */
export function once(...faults: readonly Fault[]): (nth: number) => Fault | undefined {
  return nth => faults[nth - 1];
}

export function headers(changed: Readonly<Record<string, string | undefined>>): Fault {
  return { kind: 'headers', headers: changed };
}

export function answer(status: number, retryAfter?: string): Fault {
  return { kind: 'status', status, ...(retryAfter === undefined ? {} : { retryAfter }) };
}
