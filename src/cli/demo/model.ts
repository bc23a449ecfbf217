import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import type { DemoLayer } from './artifact.ts';
import { noise } from './noise.ts';

/** Bytes of the only tensor; the file also has a header. */
const tensorBytes = 64 << 20;

export const weightsName = 'weights/model.safetensors';

/**
 * A small model as model registries have them, always with the same bytes: files in directories, weights, and a tar.
 */
export async function createModel(): Promise<readonly DemoLayer[]> {
  const json = (name: string, value: object): DemoLayer => ({
    name,
    bytes: Buffer.from(`${JSON.stringify(value, null, 2)}\n`),
    mediaType: 'application/json',
  });
  return [
    json('config.json', {
      architectures: ['TinyForCausalLM'],
      hidden_size: 2048,
      num_hidden_layers: 1,
      torch_dtype: 'float32',
      vocab_size: 8,
    }),
    json('tokenizer/tokenizer.json', { model: { type: 'WordLevel', vocab: { hello: 0, world: 1 } } }),
    json('tokenizer/special_tokens.json', { unk_token: '<unk>', eos_token: '</s>' }),
    { name: weightsName, bytes: createWeights(), mediaType: 'application/octet-stream' },
    await createExamples(),
  ];
}

/** A float tensor in a safetensors file. Like weights, the data cannot be compressed. */
function createWeights(): Buffer {
  const tensor = { dtype: 'F32', shape: [8192, 2048], data_offsets: [0, tensorBytes] };
  const header = Buffer.from(JSON.stringify({ 'model.embed.weight': tensor }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, ...noise(1, 0, tensorBytes)]);
}

/** A directory packed by `oras push`, which is unpacked in the volume. */
async function createExamples(): Promise<DemoLayer> {
  const tar = pack();
  const mtime = new Date(0);
  tar.entry({ name: 'examples/', type: 'directory', mode: 0o755, mtime });
  tar.entry({ name: 'examples/prompt.txt', mode: 0o644, mtime }, 'Say hello to the world.\n');
  tar.entry({ name: 'examples/latest.txt', type: 'symlink', linkname: 'prompt.txt', mtime });
  tar.finalize();
  const bytes = await buffer(tar);
  return {
    name: 'examples',
    bytes: gzipSync(bytes),
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    annotations: {
      'io.deis.oras.content.unpack': 'true',
      'io.deis.oras.content.digest': `sha256:${createHash('sha256').update(bytes).digest('hex')}`,
    },
  };
}
