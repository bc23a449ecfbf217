import { pino } from 'pino';
import { toSettings } from '../../src/cli/command-line.ts';
import { type House, openHouse } from '../../src/house.ts';
import { type Crowd, fillCache } from './crowded-cache.ts';
import { type TestNode, testNode } from './daemon.ts';

/** The use cases over a cache that is full. Disposing it closes them, and removes the cache. */
export type CrowdedHouse = AsyncDisposable & { readonly node: TestNode; readonly house: House };

const unmeasured = { bytesPulled() {}, damageFound() {}, pullStarted() {}, pullEnded() {} };

export async function openCrowdedHouse(crowd: Crowd): Promise<CrowdedHouse> {
  await using opened = new AsyncDisposableStack();
  const node = opened.use(await testNode());
  const settings = toSettings(
    { stateDir: node.stateDir, kubeletDir: node.kubeletDir, cacheHigh: '100', cacheLow: '100' },
    {
      OCI_ARTIFACT_REGISTRIES_CONF: node.registriesConf,
      OCI_ARTIFACT_REGISTRIES_CONF_DIR: node.registriesConfDir,
    },
  );
  const open = (): Promise<House> => openHouse(settings, pino({ level: 'silent' }), unmeasured);
  await (await open()).close(); // it makes the directories
  fillCache(node.stateDir, node.kubeletDir, crowd);
  const house = await open();
  opened.defer(() => house.close());
  const stack = opened.move();
  return { node, house, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}
