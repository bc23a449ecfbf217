import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import { orderByNode } from './layer-order.ts';

const layers = Array.from({ length: 10 }, (_, number): LayerPlan => {
  const descriptor = describeBlob(Buffer.from(`layer ${number}`));
  return { form: 'file', descriptor, label: `layer ${number}`, path: `${number}` } as unknown as LayerPlan;
});

test('each layer is the first one of a tenth of many nodes, and each node keeps its order', () => {
  const firsts = new Map<LayerPlan | undefined, number>();
  for (let node = 0; node < 1000; node++) {
    const [first, ...others] = orderByNode(layers, `node-${node}`);
    assert.equal(new Set([first, ...others]).size, layers.length);
    assert.deepEqual([first, ...others], orderByNode(layers.toReversed(), `node-${node}`));
    firsts.set(first, (firsts.get(first) ?? 0) + 1);
  }
  assert.equal(firsts.size, layers.length);
  for (const count of firsts.values()) assert.ok(count > 50 && count < 150, `${count}`);
});
