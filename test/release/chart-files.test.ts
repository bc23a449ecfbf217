import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { formatVariable } from '../../src/cli/command-line.ts';
import type { Settings } from '../../src/cli/settings.ts';
import { valueOf } from '../../src/configfile/watched-file.ts';
import { parseAccessPolicy } from '../../src/policy/access/access-policy.ts';
import { parsePolicy } from '../../src/policy/signature/policy-json.ts';
import { openConfiguration } from '../../src/registry/config/configuration.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs } from '../support/project/tools.ts';
import { type Manifest, parseManifests, theOnly } from '../support/release/manifests.ts';
import { makeCertificate } from '../support/signing/certificate.ts';
import { renderChart } from '../tools/chart/render.ts';

type Items = readonly { readonly key: string; readonly path: string }[];
type PodSpec = {
  readonly containers: readonly {
    readonly env: readonly { readonly name: string; readonly value?: string }[];
    readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
  }[];
  readonly volumes: readonly {
    readonly name: string;
    readonly configMap?: { readonly items: Items };
    readonly secret?: { readonly items: Items };
  }[];
};

/**
 * Makes the volumes of ConfigMap and Secret below a directory as kubelet makes them: the files in a directory of one
 * version, `..data` links to it, and each name links into `..data`.
 */
async function makeVolumes(root: string, manifests: readonly Manifest[]): Promise<void> {
  const { template } = theOnly(manifests, 'DaemonSet')['spec'] as { template: { spec: PodSpec } };
  for (const { name, configMap, secret } of template.spec.volumes) {
    const items = (configMap ?? secret)?.items ?? [];
    const mount = template.spec.containers[0]?.volumeMounts.find(mounted => mounted.name === name);
    if (items.length === 0 || mount === undefined) continue;
    const data = (
      configMap === undefined
        ? theOnly(manifests, 'Secret')['stringData']
        : theOnly(manifests, 'ConfigMap')['data']
    ) as Readonly<Record<string, string>>;
    const volume = join(root, mount.mountPath);
    for (const { key, path } of items) {
      const file = join(volume, '..2026_11_29', path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, data[key] ?? '');
    }
    await symlink('..2026_11_29', join(volume, '..data'));
    for (const top of new Set(items.map(({ path }) => path.split('/')[0] ?? '')))
      await symlink(join('..data', top), join(volume, top));
  }
}

test('the driver reads inline files of the chart as kubelet mounts them', needs('helm'), async () => {
  const { cert, key } = makeCertificate();
  const values = {
    registriesConf: { inline: '[[registry]]\nlocation = "b.example"\nblocked = true\n' },
    registriesConfDir: { inline: { '10-c.conf': '[[registry]]\nlocation = "c.example"\ninsecure = true\n' } },
    hostsDir: { inline: { 'a.example:5000': 'server = "https://mirror.example"\n' } },
    certsDir: { inline: { 'a.example:5000': { 'ca.crt': cert, 'node.cert': cert, 'node.key': key } } },
    caFile: { inline: cert },
    accessPolicy: { inline: { default: 'allow' } },
    policy: { inline: { default: [{ type: 'reject' }] } },
  };
  const args = Object.entries(values).flatMap(([name, value]) => [
    '--set-json',
    `${name}=${JSON.stringify(value)}`,
  ]);
  const manifests = parseManifests(renderChart({ args }));
  await using directory = await temporaryDirectory();
  await makeVolumes(directory.path, manifests);
  const { template } = theOnly(manifests, 'DaemonSet')['spec'] as { template: { spec: PodSpec } };
  const env = template.spec.containers[0]?.env ?? [];
  const path = (flag: keyof Settings): string =>
    join(directory.path, env.find(({ name }) => name === formatVariable(flag))?.value ?? '');

  const notes: string[] = [];
  const configuration = openConfiguration(
    {
      file: path('registriesConf'),
      directory: path('registriesConfDir'),
      aliasesFile: join(directory.path, 'aliases.conf'),
      hostsDir: path('hostsDir'),
      certsDir: path('certsDir'),
      caFile: path('caFile'),
    },
    note => notes.push(note),
  );
  assert.deepEqual([configuration.problems(), notes], [[], []]);
  const { registries, hosts, certificates } = configuration.current();
  assert.deepEqual(
    valueOf(registries).rules.map(({ prefix }) => prefix),
    ['b.example', 'c.example'],
  );
  assert.ok(valueOf(hosts).has('a.example:5000'));
  assert.ok(valueOf(certificates).has('a.example:5000'));

  const data = theOnly(manifests, 'ConfigMap')['data'] as Readonly<Record<string, string>>;
  parseAccessPolicy(data['access-policy.yaml'] ?? '');
  assert.equal(parsePolicy(data['policy.json'] ?? '').fallback.requirements[0]?.kind, 'reject');
});
