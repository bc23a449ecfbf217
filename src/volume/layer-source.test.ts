import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDigest } from '../oci/digest.ts';
import type { LayerPlan } from '../oci/plan.ts';
import type { Progress } from './usecases.ts';
import { createLayerSource } from './layer-source.ts';
import { createTracker } from './tracker.ts';

const size = 1_000_000;
const never = new AbortController().signal;

function planOf(form: LayerPlan['form']): LayerPlan {
  const digest = parseDigest(`sha256:${'a'.repeat(64)}`);
  return { descriptor: { mediaType: '', digest, size, annotations: {} }, label: 'l', name: 'l', form };
}

/** A world where the bytes come at once, and each later step of a layer is looked at. */
function createWorld(look: (step: string) => void) {
  let offset = 0;
  const sink = {
    path: '/partial',
    get offset() {
      return offset;
    },
    write: (chunk: Uint8Array) => void (offset += chunk.length),
    restart: () => void (offset = 0),
    verify: async () => look('verify'),
    commit: async () => look('commit'),
    drop: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
  const stage = { path: '/stage', commit: async () => {}, [Symbol.asyncDispose]: async () => {} };
  return {
    registry: {
      blob: async (_name: unknown, _descriptor: unknown, to: typeof sink) => {
        to.write(new Uint8Array(size / 2));
        look('half');
        to.write(new Uint8Array(size / 2));
        return {};
      },
    },
    blobs: { size: async () => undefined, ingest: async () => sink },
    layers: { has: async () => false, stage: async () => stage },
    unpacker: { unpack: async () => look('unpack') },
    meter: { bytesPulled: () => {} },
  } as unknown as Parameters<typeof createLayerSource>[0];
}

for (const [form, expected] of [
  [
    'file',
    ['half 50 % download, 0.5 to come', 'verify 100 % unpack, 0 to come', 'commit 100 % unpack, 0 to come'],
  ],
  [
    'unpacked',
    ['half 50 % download, 2.5 to come', 'verify 100 % unpack, 2 to come', 'unpack 100 % unpack, 2 to come'],
  ],
] as const) {
  test(`what is whole stays so in the progress until the layer is there (${form})`, async () => {
    const layer = planOf(form);
    const origin = {
      kind: 'registry',
      repository: { registry: 'r.example', path: 'm' },
      keyring: {},
    } as never;
    const steps: string[] = [];
    let last: Progress | undefined;
    const source = createLayerSource(
      createWorld(step => {
        tracker.tick();
        const percent = (100 * (last?.bytes ?? 0)) / size;
        steps.push(`${step} ${percent} % ${last?.phase}, ${tracker.remaining() / size} to come`);
      }),
      6,
    );
    const tracker = createTracker(
      [layer],
      [layer],
      digest => source.progress(digest, origin),
      progress => {
        last = progress;
      },
    );
    await source.bring(layer, origin, async () => {}, never);
    assert.deepEqual(steps, expected);
    assert.equal(source.progress(layer.descriptor.digest, origin), 0);
  });
}
