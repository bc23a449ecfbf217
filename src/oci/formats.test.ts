import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { doAtOnce } from '../util/pace.ts';
import type { Descriptor } from './descriptor.ts';
import { parseDigest } from './digest.ts';
import { ociManifest } from './manifest.ts';
import { chunkListType, planLayers } from './plan.ts';

const title = (name: string) => ({ 'org.opencontainers.image.title': name });
const path = (name: string) => ({ 'org.cncf.model.filepath': name });
const unpack = { 'io.deis.oras.content.unpack': 'true' };
const imageConfig = 'application/vnd.oci.image.config.v1+json';
const emptyConfig = 'application/vnd.oci.empty.v1+json';
const imageTar = 'application/vnd.oci.image.layer.v1.tar';
const imageTarGzip = 'application/vnd.oci.image.layer.v1.tar+gzip';
const hex = 'c'.repeat(64);
const digest = parseDigest(`sha256:${hex}`);
const unnamed = `sha256-${hex}`;

type Layer = readonly [mediaType: string, annotations?: Readonly<Record<string, string>>];

/** What tools push, as they document it, and the result of each layer: unpacked `<`, or the name of a file. */
const table: readonly (readonly [
  documented: string,
  config: string,
  layers: readonly Layer[],
  shown: readonly string[],
  diffIds?: 'fitting' | 'empty',
])[] = [
  ['`oras push` of files', emptyConfig, [[imageTar, title('a/b.txt')]], ['a/b.txt']],
  ['`oras push` of a directory', emptyConfig, [[imageTarGzip, { ...title('d'), ...unpack }]], ['< d']],
  [
    'ModelPack',
    'application/vnd.cncf.model.config.v1+json',
    [
      ['application/vnd.cncf.model.weight.v1.raw', path('w/1.safetensors')],
      ['application/vnd.cncf.model.weight.config.v1.tar+zstd', path('config')],
      ['application/vnd.cnai.model.doc.v1.tar', { 'org.cnai.model.filepath': 'README.md' }],
    ],
    ['w/1.safetensors', '< /', '< /'],
  ],
  [
    'KitOps ModelKit',
    'application/vnd.kitops.modelkit.config.v1+json',
    [
      ['application/vnd.kitops.modelkit.model.v1.tar', path('model.onnx')],
      ['application/vnd.kitops.modelkit.code.v1.tar+gzip'],
    ],
    ['< /', '< /'],
  ],
  [
    'Docker model',
    'application/vnd.docker.ai.model.config.v0.2+json',
    [
      ['application/vnd.docker.ai.gguf.v3', path('model.gguf')],
      ['application/vnd.docker.ai.vllm.config.tar', path('vllm-config-1.tar')],
      ['application/vnd.docker.ai.license', path('LICENSE')],
    ],
    ['model.gguf', '< /', 'LICENSE'],
  ],
  [
    'Ollama model',
    'application/vnd.docker.container.image.v1+json',
    [['application/vnd.ollama.image.model'], ['application/vnd.ollama.image.template']],
    [unnamed, unnamed],
    'fitting',
  ],
  [
    'chunk list',
    emptyConfig,
    [[imageTar, title('m.gguf')], [chunkListType, title('m.gguf.chunks')], [chunkListType]],
    ['m.gguf'],
  ],
  ['Podman artifact', emptyConfig, [['application/octet-stream', title('m.gguf')]], ['m.gguf']],
  [
    'Helm chart',
    'application/vnd.cncf.helm.config.v1+json',
    [
      ['application/vnd.cncf.helm.chart.content.v1.tar+gzip'],
      ['application/vnd.cncf.helm.chart.provenance.v1.prov'],
    ],
    ['< /', unnamed],
  ],
  [
    'Flux OCI artifact',
    'application/vnd.cncf.flux.config.v1+json',
    [['application/vnd.cncf.flux.content.v1.tar+gzip']],
    ['< /'],
  ],
  [
    'Timoni module',
    'application/vnd.timoni.config.v1+json',
    [['application/vnd.timoni.content.v1.tar+gzip', { 'sh.timoni.content.type': 'module' }]],
    ['< /'],
  ],
  ['OPA bundle', imageConfig, [[imageTarGzip, title('bundle.tar.gz')]], ['bundle.tar.gz'], 'empty'],
  ['OPA bundle', imageConfig, [[imageTarGzip]], ['< /'], 'empty'],
  [
    'conftest policy',
    'application/vnd.cncf.openpolicyagent.config.v1+json',
    [['application/vnd.cncf.openpolicyagent.policy.layer.v1+rego', title('a.rego')]],
    ['a.rego'],
  ],
  [
    'Falco rules',
    'application/vnd.cncf.falco.rulesfile.config.v1+json',
    [['application/vnd.cncf.falco.rulesfile.layer.v1+tar.gz', title('falco_rules.yaml.tar.gz')]],
    ['falco_rules.yaml.tar.gz'],
  ],
  ['Tekton bundle', imageConfig, [[imageTarGzip, { 'dev.tekton.image.name': 't' }]], ['image'], 'fitting'],
  ['Homebrew bottle', imageConfig, [[imageTarGzip, title('a.bottle.tar.gz')]], ['image'], 'fitting'],
  ['WebAssembly module', 'application/vnd.wasm.config.v0+json', [['application/wasm']], [unnamed]],
  ['`cosign upload blob`', imageConfig, [['text/plain']], [unnamed], 'fitting'],
  ['SBOM', 'application/vnd.oci.image.config.v1+json', [['text/spdx+json']], [unnamed], 'fitting'],
  ['attestation', emptyConfig, [['application/vnd.in-toto+json']], [unnamed]],
  [
    'Singularity image',
    'application/vnd.sylabs.sif.config.v1+json',
    [['application/vnd.sylabs.sif.layer.v1.sif', title('a.sif')]],
    ['a.sif'],
  ],
  [
    'Dev Container feature',
    'application/vnd.devcontainers',
    [['application/vnd.devcontainers.layer.v1+tar', title('devcontainer-feature-a.tgz')]],
    ['devcontainer-feature-a.tgz'],
  ],
];

const describe = (mediaType: string, annotations = {}): Descriptor => ({
  mediaType,
  digest,
  size: 1,
  annotations,
});
const documents = readFileSync(new URL('../../docs/artifacts.md', import.meta.url), 'utf8');

for (const [documented, config, layers, shown, diffIds] of table) {
  test(`${documented} of ${layers.map(([type]) => type).join(', ')} shows ${shown.join(', ')}`, () => {
    const manifest = {
      kind: 'manifest' as const,
      mediaType: ociManifest,
      config: describe(config),
      layers: layers.map(([type, annotations]) => describe(type, annotations)),
      annotations: {},
    };
    const ids = diffIds === undefined ? undefined : diffIds === 'empty' ? [] : layers.map(() => digest);
    const selection = { unpack: 'auto', include: [], exclude: [] } as const;
    const plan = doAtOnce(planLayers(manifest, ids, selection, 'r/x:1'));
    const found = plan.layers.map(layer => {
      if (plan.kind === 'image') return 'image';
      return layer.form === 'file' ? layer.name : `< ${layer.into?.path.join('/') ?? '/'}`;
    });
    assert.deepEqual(found, shown);
    assert.ok(documents.includes(documented), `docs/artifacts.md tells of ${documented}`);
  });
}
