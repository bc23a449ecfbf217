import { after } from 'node:test';
import { type FaultyRegistry, openFaultyRegistry } from '../registry/faulty-registry.ts';
import {
  type DaemonOptions,
  type NodeOptions,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from './daemon.ts';

/** The setting of most tests from the registry to the mount. */
export type Setting = {
  readonly registry: FaultyRegistry;
  /** Uses plain HTTP to the registry, which is the search registry of short names. */
  readonly node: TestNode;
  readonly daemon: TestDaemon;
};

/** For all tests of a file, to be awaited before the first of them. It is removed after they have run. */
export async function openSetting(options: DaemonOptions & NodeOptions = {}): Promise<Setting> {
  await using opened = new AsyncDisposableStack();
  const registry = opened.use(await openFaultyRegistry());
  const node = opened.use(await testNode([registry.host], options));
  const daemon = opened.use(await startDaemon(node, options));
  const setting = opened.move();
  after(() => setting.disposeAsync());
  return { registry, node, daemon };
}
