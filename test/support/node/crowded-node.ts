import type { Node } from '../../../src/wiring.ts';
import { type Crowd, fillCache } from './crowded-cache.ts';
import { type TestNode, testNode } from './daemon.ts';
import { openTestHouse } from './opened-node.ts';

/** The use cases over a full cache. Disposing it closes them, and removes the cache. */
export type CrowdedHouse = AsyncDisposable & { readonly node: TestNode; readonly house: Node };

export async function openCrowdedHouse(crowd: Crowd): Promise<CrowdedHouse> {
  await using opened = new AsyncDisposableStack();
  const node = opened.use(await testNode());
  await (await openTestHouse(node)).close(); // creates the directories
  fillCache(node.stateDir, node.kubeletDir, crowd);
  const house = await openTestHouse(node);
  opened.defer(() => house.close());
  const stack = opened.move();
  return { node, house, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
