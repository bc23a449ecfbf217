import type { DemoLayer } from './artifact.ts';
import { noise } from './noise.ts';
import type { GeneratedBlob } from './registry.ts';

/** A file of weights. */
export type Shard = { readonly name: string; readonly bytes: GeneratedBlob };

const shardBytes = 256 * 1024 * 1024;

function shardOf(number: number): Shard {
  return {
    name: `shard-${number}.bin`,
    bytes: { size: shardBytes, read: (from, to) => noise(number, from, to) },
  };
}

/** The weights of a model of 2 GiB, always with the same bytes. */
export const lastShard: Shard = shardOf(8);
export const shards: readonly Shard[] = [...[1, 2, 3, 4, 5, 6, 7].map(shardOf), lastShard];

export const largeModel: readonly (DemoLayer | Shard)[] = [
  { name: 'config.json', bytes: Buffer.from('{ "shards": 8 }\n'), mediaType: 'application/json' },
  ...shards,
];
