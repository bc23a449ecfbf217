import assert from 'node:assert/strict';
import type { Node } from '../../../src/node.ts';
import { type Crowd, fillCache } from './crowded-cache.ts';
import { type TestNode, testNode } from './daemon.ts';
import { openUseCases } from './opened-node.ts';

/** The use cases over a full cache. Disposing it closes them, and removes the cache. */
export type CrowdedNode = AsyncDisposable & { readonly node: TestNode; readonly useCases: Node };

export async function openCrowdedNode(crowd: Crowd): Promise<CrowdedNode> {
  await using opened = new AsyncDisposableStack();
  const node = opened.use(await testNode([], { views: 'trees' })); // in memory, because filling it takes long on a disk
  await (await openUseCases(node)).close(); // creates the directories
  fillCache(node.stateDir, node.kubeletDir, crowd);
  const useCases = await openUseCases(node);
  opened.defer(() => useCases.close());
  const stack = opened.move();
  return { node, useCases, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** The part of fsck that reads no content; it comes first. */
export async function checkRoots({ artifacts }: Node): Promise<void> {
  const ending = new AbortController();
  const end = (): void => ending.abort(new Error('enough'));
  await assert.rejects(
    artifacts.fsck(false, () => assert.fail('nothing is missing'), ending.signal, end),
    /enough/,
  );
}
