import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kubeletDirectory } from '../../test/support/node/kubelet-directory.ts';
import { needs } from '../../test/support/project/tools.ts';
import { openMounter } from './mounter.ts';

test(
  'a state is found in tens of microseconds, and a publish and an unpublish take a few hundred',
  needs('root'),
  async t => {
    await using node = await kubeletDirectory();
    using mounter = openMounter(node);
    async function median(times: number, act: () => Promise<unknown>): Promise<number> {
      const took: number[] = [];
      for (let n = 0; n < times; n++) {
        const start = performance.now();
        await act();
        took.push((performance.now() - start) * 1000);
      }
      return took.sort((a, b) => a - b)[times >> 1] ?? 0;
    }
    const pair = await median(300, async () => {
      await mounter.mount(node.view, node.target, []);
      await mounter.unmount(node.target);
    });
    await mounter.mount(node.view, node.target, []);
    const state = await median(1000, () => mounter.state(node.target, node.view));
    t.diagnostic(`mount and unmount ${pair.toFixed(0)} us, state ${state.toFixed(0)} us (p50)`);
    assert.ok(pair < 20_000, `${pair} us for a pair`);
    assert.ok(state < 200, `${state} us for a state`);
  },
);
