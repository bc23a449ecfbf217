import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { flags } from '../../src/cli/flags.ts';
import { parsePrefetchList } from '../../src/prefetch/prefetch-list.ts';
import { kinds, type PrefetchKind, parseResource } from '../../src/prefetch/resources/resource.ts';
import { parseAttributes } from '../../src/volume/attributes.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs, toolPath } from '../support/project/tools.ts';
import { type Manifest, parseManifests, theOnly, verifyManifests } from '../support/release/manifests.ts';
import { toPlainManifests } from '../tools/chart/manifests.ts';
import { renderChart } from '../tools/chart/render.ts';
import {
  customSchemas,
  kubernetesSchemas,
  kubernetesVersions,
  operatorSchemas,
} from '../tools/chart/schemas.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const examples = globSync('examples/*.yaml', { cwd: root })
  .filter(path => basename(path) !== 'prefetch.yaml')
  .toSorted();

function kustomize(directory: string): readonly Manifest[] {
  const text = execFileSync(toolPath('kustomize-build'), [join(root, directory)], { encoding: 'utf8' });
  for (const version of kubernetesVersions) verifyManifests(text, [kubernetesSchemas(version)]);
  return parseManifests(text);
}

type InlineVolume = {
  readonly driver: string;
  readonly readOnly?: boolean;
  readonly volumeAttributes: Readonly<Record<string, string>>;
};

/** Every `csi` in an object: of a volume in a pod, and of a PersistentVolume. */
function volumesOf(value: unknown): readonly InlineVolume[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, field]) =>
    key === 'csi' ? [field as InlineVolume] : volumesOf(field),
  );
}

/** The definitions of custom resources that the chart brings. */
function definitions(): readonly Manifest[] {
  const manifests = parseManifests(renderChart({ args: ['--set', 'prefetchResources=true'] }));
  return manifests.filter(({ kind }) => kind === 'CustomResourceDefinition');
}

describe('deploy/', needs('helm', 'kustomize-build', 'kubeconform'), () => {
  test('is what the chart renders', () => {
    assert.equal(read('deploy/oci-artifact-csi.yaml'), toPlainManifests(), 'run npm run chart');
    for (const version of kubernetesVersions)
      verifyManifests(read('deploy/oci-artifact-csi.yaml'), [kubernetesSchemas(version)]);
  });

  test('is the same as a kustomization', () => {
    const sorted = (manifests: readonly Manifest[]): readonly Manifest[] =>
      manifests.toSorted((a, b) => (a.kind < b.kind ? -1 : 1));
    assert.deepEqual(
      sorted(kustomize('deploy')),
      sorted(parseManifests(read('deploy/oci-artifact-csi.yaml'))),
    );
  });

  test('takes a flag, a file and an image from a kustomization of its own', () => {
    const { template } = theOnly(kustomize('examples/kustomize'), 'DaemonSet')['spec'] as {
      template: { spec: { containers: { image: string; env: { name: string; value?: string }[] }[] } };
    };
    const [container] = template.spec.containers;
    assert.match(
      container?.image ?? '',
      /^registry\.example\.com\/csi\/oci-artifact-csi@sha256:[0-9a-f]{64}$/,
    );
    const flag = container?.env.filter(({ name }) => name === 'OCI_ARTIFACT_DISK_MAX');
    assert.deepEqual(flag, [{ name: 'OCI_ARTIFACT_DISK_MAX', value: '85' }]);
  });
});

describe('the example', needs('helm', 'kubeconform'), () => {
  for (const path of examples) {
    test(`${path} is valid, and the driver takes its volumes`, () => {
      const text = read(path);
      // The definitions of helm-controller are in no Go module.
      const known = parseManifests(text).filter(({ kind }) => kind !== 'HelmRelease');
      const schemas = [
        kubernetesSchemas(kubernetesVersions.at(-1) ?? ''),
        operatorSchemas(),
        customSchemas(definitions()),
      ];
      verifyManifests(known.map(manifest => stringify(manifest)).join('---\n'), schemas);
      const installs = known.some(({ kind }) => kind === 'Application' || kind === 'OCIRepository');
      const volumes = parseManifests(text).flatMap(volumesOf);
      assert.equal(volumes.length > 0, !installs);
      for (const volume of volumes) {
        assert.equal(volume.driver, flags.driverName.preset);
        parseAttributes(volume.volumeAttributes);
      }
      for (const manifest of known)
        if (manifest.kind !== 'PersistentVolume')
          for (const { readOnly } of volumesOf(manifest)) assert.equal(readOnly, true);
    });
  }

  test('examples/prefetch-resources.yaml has prefetches that the driver follows', () => {
    const found = parseManifests(read('examples/prefetch-resources.yaml')).filter(
      ({ kind }) => kind in kinds,
    );
    assert.equal(found.length, 2);
    for (const { kind, metadata, ...rest } of found) {
      const object = { metadata: { ...metadata, uid: 'u' }, ...rest };
      const { spec } = parseResource(kind as PrefetchKind, object, parseAttributes);
      assert.equal(spec.kind, 'right', JSON.stringify(spec));
    }
  });

  test('examples/prefetch.yaml is values of the chart, and its list is one that the driver takes', () => {
    const args = ['--values', join(root, 'examples/prefetch.yaml')];
    const data = theOnly(parseManifests(renderChart({ args })), 'ConfigMap')['data'] as Record<
      string,
      string
    >;
    assert.equal(parsePrefetchList(data['prefetch.yaml'] ?? '', parseAttributes).length, 2);
  });

  test('values of Flux and Argo CD are values of the chart', async () => {
    const release = theOnly(parseManifests(read('examples/flux.yaml')), 'HelmRelease');
    const application = theOnly(parseManifests(read('examples/argocd.yaml')), 'Application');
    const { values } = release['spec'] as { values: object };
    const { source } = application['spec'] as { source: { helm: { valuesObject: object } } };
    await using directory = await temporaryDirectory();
    // As `npm run release -- registry.example.com/csi` pushes it.
    for (const path of ['examples/flux.yaml', 'examples/argocd.yaml'])
      assert.match(read(path), / oci:\/\/registry\.example\.com\/csi\/charts\/oci-artifact-csi\n/);
    for (const given of [values, source.helm.valuesObject]) {
      await writeFile(join(directory.path, 'values.yaml'), stringify(given));
      assert.match(renderChart({ args: ['--values', join(directory.path, 'values.yaml')] }), /value: "85"/);
    }
  });
});
