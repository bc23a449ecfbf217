import { after } from 'node:test';
import { type DaemonOptions, startDaemon, type TestDaemon, type TestNode, testNode } from './daemon.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../registry/faulty-registry.ts';

/** What most tests from the registry to the mount take place in. */
export type Setting = {
  readonly registry: FaultyRegistry;
  /** Speaks plain HTTP to the registry, and looks for short names there. */
  readonly node: TestNode;
  readonly daemon: TestDaemon;
};

/** For all tests of a file, to be awaited before the first of them. All of it goes when they have run. */
export async function openSetting(options: DaemonOptions = {}): Promise<Setting> {
  await using opened = new AsyncDisposableStack();
  const registry = opened.use(await openFaultyRegistry());
  const node = opened.use(await testNode([registry.host]));
  const daemon = opened.use(await startDaemon(node, options));
  const setting = opened.move();
  after(() => setting.disposeAsync());
  return { registry, node, daemon };
}
