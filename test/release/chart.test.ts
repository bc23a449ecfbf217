import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import process from 'node:process';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { formatFlag, formatVariable } from '../../src/cli/command-line.ts';
import { flags } from '../../src/cli/flags.ts';
import type { Settings } from '../../src/cli/settings.ts';
import { version } from '../../src/util/version.ts';
import { parseAttributes } from '../../src/volume/attributes.ts';
import { needs, toolPath } from '../support/project/tools.ts';
import { type Manifest, parseManifests, theOnly, verifyManifests } from '../support/release/manifests.ts';
import { chartDirectory, type RenderOptions, renderChart } from '../tools/chart/render.ts';
import { kubernetesSchemas, kubernetesVersions } from '../tools/chart/schemas.ts';
import { readValues, withTable } from '../tools/chart/values-table.ts';

const read = (path: string): string => readFileSync(join(chartDirectory, path), 'utf8');
const keys = Object.keys(flags) as (keyof Settings)[];
const profiles = globSync('profiles/*.yaml', { cwd: chartDirectory }).toSorted();

/** Flags that the template sets, because another value could only break the driver. */
const fixed: readonly (keyof Settings)[] = ['endpoint', 'nodeId', 'register', 'httpListen'];
/** A flag that the template sets where a part of the chart is there. */
const ofPart: readonly (keyof Settings)[] = ['holder'];
const settable = keys.filter(key => !fixed.includes(key) && !ofPart.includes(key));

type Variable = { readonly name: string; readonly value?: string };
type Volume = Readonly<Record<string, unknown>> & { readonly name: string };
type Mount = { readonly name: string; readonly mountPath: string; readonly mountPropagation?: string };
type PodSpec = {
  readonly automountServiceAccountToken: boolean;
  readonly containers: readonly {
    readonly image: string;
    readonly env: readonly Variable[];
    readonly volumeMounts: readonly Mount[];
    readonly securityContext: Readonly<Record<string, unknown>>;
  }[];
  readonly volumes: readonly Volume[];
};

function podOf(manifests: readonly Manifest[]): PodSpec {
  const { template } = theOnly(manifests, 'DaemonSet')['spec'] as { template: { spec: PodSpec } };
  assert.equal(template.spec.containers.length, 1, 'no sidecar');
  return template.spec;
}

/** Renders the chart, and returns its pod with the flags that it sets. */
function podWith(...args: readonly string[]) {
  const manifests = parseManifests(renderChart({ args }));
  const pod = podOf(manifests);
  const [container] = pod.containers;
  assert.ok(container !== undefined);
  const env = new Map(container.env.map(({ name, value }) => [name, value]));
  const flag = (key: keyof Settings): string | undefined => env.get(formatVariable(key));
  return { manifests, pod, container, env, flag };
}

function refuses(args: readonly string[], message: RegExp): void {
  for (const helm of ['helm', 'helm4'] as const)
    assert.throws(() => renderChart({ helm, args }), { message }, `${helm} ${args.join(' ')}`);
}

describe('the values of the chart', () => {
  const values = parse(read('values.yaml')) as Readonly<Record<string, unknown>>;

  test('have a key for every flag of serve that can be set, with the default of the flag', () => {
    for (const key of settable) {
      assert.ok(key in values, `${key} for ${formatFlag(key)}`);
      const value = values[key];
      if (typeof value === 'object') assert.deepEqual(value, {}, key);
      else if (key === 'events') assert.equal(value, true, 'a chart can bring the right that events need');
      else assert.equal(`${value as string | number | boolean}`, flags[key].preset, key);
    }
    assert.deepEqual(
      fixed.filter(key => key in values),
      [],
    );
  });

  test('name the flag that they set, and are a row of the README', () => {
    const described = readValues(read('values.yaml'));
    const named = described.flatMap(({ key, says }) => [[key, /^`(--[a-z-]+)`/.exec(says)?.[1]]]);
    assert.deepEqual(
      named.filter(([, flag]) => flag !== undefined),
      named
        .filter(([key]) => settable.includes(key as keyof Settings))
        .map(([key]) => [key, formatFlag(key as keyof Settings)]),
    );
    assert.equal(read('README.md'), withTable(read('README.md'), described), 'run npm run chart');
    assert.throws(() => readValues('a: 1\n'), /no comment describes a/);
  });

  test('are closed by the schema, in every object', () => {
    const open: string[] = [];
    const visit = (schema: unknown, path: string): void => {
      if (typeof schema !== 'object' || schema === null) return;
      const { type, additionalProperties } = schema as { type?: unknown; additionalProperties?: unknown };
      if ([type].flat().includes('object') && additionalProperties === undefined) open.push(path);
      if (additionalProperties === true) open.push(`${path}: anything`);
      for (const [key, value] of Object.entries(schema)) visit(value, `${path}/${key}`);
    };
    visit(JSON.parse(read('values.schema.json')), '');
    // What Helm itself sets, and documents whose fields the driver verifies.
    assert.deepEqual(open, [
      '/properties/global: anything',
      '/definitions/document/properties/inline: anything',
    ]);
  });

  test('of every profile are named in the README of the project', () => {
    const readme = readFileSync(join(chartDirectory, '../../README.md'), 'utf8');
    const listed = [...readme.matchAll(/\(charts\/oci-artifact-csi\/(profiles\/[^)]+)\)/g)].map(
      ([, path = '']) => path,
    );
    assert.deepEqual(listed.toSorted(), profiles);
  });

  test('have the version and the image of this program', () => {
    const chart = parse(read('Chart.yaml')) as {
      version: string;
      appVersion: string;
      annotations: Record<string, string>;
    };
    assert.equal(chart.version, version);
    assert.equal(chart.appVersion, version);
    const { repository } = values['image'] as { repository: string };
    const [listed] = parse(chart.annotations['artifacthub.io/images'] ?? '') as { image: string }[];
    assert.equal(listed?.image, `${repository}:${version}`);
  });
});

describe('a rendered chart', needs('helm', 'helm4', 'kubeconform'), () => {
  test('passes the lint of Helm 3 and 4', () => {
    for (const helm of ['helm', 'helm4'] as const)
      for (const file of [undefined, ...profiles]) {
        const args = file === undefined ? [] : ['--values', join(chartDirectory, file)];
        execFileSync(toolPath(helm), ['lint', '--strict', chartDirectory, ...args], { stdio: 'pipe' });
      }
  });

  for (const file of [undefined, ...profiles]) {
    test(`is valid in the oldest and the newest Kubernetes: ${file === undefined ? 'defaults' : basename(file)}`, () => {
      for (const kubernetes of kubernetesVersions) {
        const args = file === undefined ? [] : ['--values', join(chartDirectory, file)];
        const [text, same] = (['helm', 'helm4'] as const).map(helm =>
          renderChart({ helm, kubernetes, args }),
        );
        assert.ok(text !== undefined && same !== undefined);
        assert.deepEqual(parseManifests(text), parseManifests(same));
        verifyManifests(text, [kubernetesSchemas(kubernetes)]);
      }
    });
  }

  test('is one that kubeconform refuses if a field is misspelt', () => {
    const [schemas] = kubernetesVersions.map(kubernetesSchemas);
    const wrong = renderChart().replace('readOnlyRootFilesystem', 'readonlyRootFilesystem');
    assert.throws(() => verifyManifests(wrong, [schemas ?? '']), /readonlyRootFilesystem/);
  });

  test('sets flags to values that the program takes, large numbers as well', () => {
    const { flag } = podWith(
      '--set',
      'maxLayerEntries=123456789,cacheMax=1Ti,strictPolicy=true',
      '--set-json',
      'cacheHigh=75.5',
    );
    for (const key of settable) {
      const text = flag(key);
      if (text !== undefined) flags[key].parse(text);
    }
    assert.equal(flag('maxLayerEntries'), '123456789');
    assert.equal(flag('maxLayerSize'), '1TiB');
    assert.equal(flag('cacheHigh'), '75.5');
    assert.equal(flag('cacheMax'), '1Ti');
    assert.equal(flag('strictPolicy'), 'true');
    assert.equal(flag('podPullSecrets'), 'false');
    assert.equal(flag('register'), 'true');
    assert.equal(flag('maxArtifactSize'), undefined);
    assert.equal(podWith().flag('maxLayerEntries'), '1000000');
  });

  test('asks for no right and no token, unless a feature needs them', () => {
    const plain = podWith('--set', 'events=false');
    assert.equal(plain.pod.automountServiceAccountToken, false);
    assert.deepEqual(plain.manifests.map(({ kind }) => kind).toSorted(), [
      'CSIDriver',
      'DaemonSet',
      'Pod',
      'ServiceAccount',
    ]);
    const rulesOf = (...args: string[]): unknown => {
      const { pod, manifests } = podWith(...args);
      assert.equal(pod.automountServiceAccountToken, true);
      return theOnly(manifests, 'ClusterRole')['rules'];
    };
    const events = { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] };
    assert.deepEqual(rulesOf(), [events]);
    const secrets = { apiGroups: [''], resources: ['pods', 'serviceaccounts', 'secrets'], verbs: ['get'] };
    const namespaces = { apiGroups: [''], resources: ['namespaces'], verbs: ['get'] };
    const policy = 'podPullSecrets=true,accessPolicy.configMap.name=p,accessPolicy.configMap.key=p.yaml';
    assert.deepEqual(rulesOf('--set', 'podPullSecrets=true'), [events, secrets]);
    assert.deepEqual(rulesOf('--set', policy), [events, secrets, namespaces]);
    assert.deepEqual(rulesOf('--set', 'nodeLabels=rack=r7'), [events]);
    const nodes = { apiGroups: [''], resources: ['nodes'], verbs: ['get'] };
    assert.deepEqual(rulesOf('--set', 'nodeLabels=api'), [events, nodes]);
    const slots = podWith('--set', 'events=false,originSlots=2');
    assert.equal(slots.pod.automountServiceAccountToken, true);
    assert.deepEqual(theOnly(slots.manifests, 'Role')['rules'], [
      {
        apiGroups: ['coordination.k8s.io'],
        resources: ['leases'],
        verbs: ['get', 'create', 'update', 'delete'],
      },
    ]);
    assert.equal(theOnly(slots.manifests, 'RoleBinding').metadata.namespace, 'oci-artifact-csi');
    theOnly(slots.manifests, 'ValidatingAdmissionPolicyBinding');
    const old = renderChart({ args: ['--set', 'originSlots=2'], kubernetes: '1.29.0' });
    assert.doesNotMatch(old, /ValidatingAdmissionPolicy/);
    assert.match(old, /resources: \[leases\]/);
    for (const [list, rules] of [
      ['{"artifacts": [{"reference": "a.example/b:1"}]}', [events, secrets]],
      [
        '{"artifacts": [{"reference": "a.example/b:1", "nodeSelector": {"a": "b"}}]}',
        [events, secrets, nodes],
      ],
    ] as const)
      assert.deepEqual(
        rulesOf('--set', 'podPullSecrets=true', '--set-json', `prefetch.inline=${list}`),
        rules,
      );
  });

  test('follows prefetches of the API by rules of its own, with a policy that keeps each daemon to its node', () => {
    const on = ['--set', 'events=false,prefetchResources=true'];
    const objectsOf = (...args: string[]): readonly Manifest[] => podWith(...on, ...args).manifests;
    const rulesOf = (...args: string[]): unknown => theOnly(objectsOf(...args), 'ClusterRole')['rules'];
    const group = (resources: readonly string[], verbs: readonly string[]): object => ({
      apiGroups: ['oci-artifact.csi.internal'],
      resources,
      verbs,
    });
    const nodes = (...verbs: readonly string[]): object => ({ apiGroups: [''], resources: ['nodes'], verbs });
    const own = [
      group(['artifactprefetches', 'clusterartifactprefetches'], ['list', 'watch']),
      group(['artifactprefetches/status', 'clusterartifactprefetches/status'], ['patch']),
      group(['nodeartifacts'], ['get', 'list', 'create', 'patch']),
    ];
    assert.deepEqual(rulesOf(), [nodes('get'), ...own]);
    assert.deepEqual(rulesOf('--set', 'prefetchLabels=true'), [nodes('get', 'patch'), ...own]);
    assert.deepEqual(theOnly(objectsOf(), 'Role')['rules'], [
      {
        apiGroups: ['coordination.k8s.io'],
        resources: ['leases'],
        verbs: ['get', 'create', 'update', 'delete'],
      },
    ]);
    const roles = objectsOf('--set', 'prefetchSecrets.shop[0]=pull').filter(({ kind }) => kind === 'Role');
    assert.deepEqual(roles.map(({ metadata, rules }) => [metadata.namespace, rules]).at(-1), [
      'shop',
      [{ apiGroups: [''], resources: ['secrets'], resourceNames: ['pull'], verbs: ['get'] }],
    ]);
    const definitions = objectsOf().filter(({ kind }) => kind === 'CustomResourceDefinition');
    assert.equal(definitions.length, 3);
    for (const { metadata } of definitions)
      assert.equal(metadata.annotations?.['helm.sh/resource-policy'], 'keep');
    theOnly(objectsOf(), 'ValidatingAdmissionPolicyBinding');
    verifyManifests(renderChart({ args: [...on, '--set', 'prefetchSecrets.shop[0]=pull'] }), [
      kubernetesSchemas(kubernetesVersions.at(-1) ?? ''),
    ]);
    assert.throws(() => renderChart({ args: on, kubernetes: '1.29.0' }), /needs Kubernetes 1\.30/);
  });

  test('lets kubelet publish volumes again and again only if that is wanted', () => {
    const specOf = (...args: string[]): object =>
      theOnly(podWith(...args).manifests, 'CSIDriver')['spec'] as object;
    const plain = specOf();
    const set = ['--set', 'requiresRepublish=true'];
    assert.deepEqual(specOf(...set), { ...plain, requiresRepublish: true });
    assert.partialDeepStrictEqual(plain, { requiresRepublish: false, podInfoOnMount: true });
    for (const kubernetes of kubernetesVersions)
      verifyManifests(renderChart({ kubernetes, args: set }), [kubernetesSchemas(kubernetes)]);
    refuses(['--set-string', 'requiresRepublish=true'], /requiresRepublish/);
  });

  test('runs one read-only privileged container, whose kubelet directory is at its own path', () => {
    const { container, pod } = podWith('--set', 'kubeletDir=/var/lib/k0s/kubelet');
    assert.deepEqual(container.securityContext, {
      privileged: true,
      readOnlyRootFilesystem: true,
      runAsUser: 0,
    });
    assert.deepEqual(
      container.volumeMounts.filter(({ mountPropagation }) => mountPropagation !== undefined),
      [{ name: 'kubelet', mountPath: '/var/lib/k0s/kubelet', mountPropagation: 'Bidirectional' }],
    );
    assert.deepEqual(pod.volumes.find(({ name }) => name === 'socket')?.['hostPath'], {
      path: '/var/lib/k0s/kubelet/plugins/oci-artifact.csi.internal',
      type: 'DirectoryOrCreate',
    });
  });

  test('replaces a pod by a standby, also on the network of the node', () => {
    const strategyOf = (...args: string[]): Readonly<Record<string, unknown>> =>
      theOnly(podWith(...args).manifests, 'DaemonSet')['spec'] as Readonly<Record<string, unknown>>;
    const { updateStrategy } = strategyOf();
    assert.deepEqual(updateStrategy, {
      type: 'RollingUpdate',
      rollingUpdate: { maxSurge: '10%', maxUnavailable: 0 },
    });
    assert.ok('ports' in podWith().container);
    assert.ok(!('ports' in podWith('--set', 'hostNetwork=true').container), 'the scheduler sees no conflict');
    const one = 'updateStrategy.rollingUpdate.maxSurge=0,updateStrategy.rollingUpdate.maxUnavailable=1';
    renderChart({ args: ['--set', one] });
    assert.deepEqual(strategyOf('--set', 'updateStrategy.type=OnDelete').updateStrategy, {
      type: 'OnDelete',
    });
  });

  test('tells whoever installs it what to do next, and what to do before it is uninstalled', () => {
    const notes = (...set: readonly string[]): string => {
      const args = ['install', 'o', chartDirectory, '--dry-run=client', '--namespace', 'csi'];
      const env = { ...process.env, KUBECONFIG: '/dev/null' };
      const given = set.flatMap(value => ['--set', value]);
      const output = execFileSync(toolPath('helm4'), [...args, ...given], {
        encoding: 'utf8',
        stdio: 'pipe',
        env,
      });
      return output.slice(output.indexOf('\nNOTES:'));
    };
    const plain = notes('driverName=d.example');
    assert.match(plain, /--namespace csi rollout status daemonset\/o-oci-artifact-csi\n/);
    assert.match(plain, /driver: d\.example\n/);
    assert.match(plain, /port-forward DRIVER-POD 9810 /);
    assert.match(
      plain,
      /name=oci-artifact-csi,app\.kubernetes\.io\/instance=o \\\n +--field-selector spec\.nodeName=NODE\n/,
    );
    assert.doesNotMatch(notes('pageListen='), /port-forward/);
    assert.match(plain, /Before you uninstall, delete the pods/);
    assert.match(plain, /WARNING: image\.repository is the default/);
    assert.doesNotMatch(notes('image.repository=registry.example.com/csi/x'), /WARNING/);
    assert.doesNotMatch(plain, /looks for these pods|every secret|every pod may mount/);
    assert.match(notes('uninstallGuard=true'), /looks for these pods/);
    assert.match(notes('podPullSecrets=true'), /may read every secret/);
    assert.match(notes('cachedAuthorization=off'), /every pod may mount everything/);
  });

  test('has a test for helm that mounts the image of the driver, without privileges', () => {
    const digest = `sha256:${'ab'.repeat(32)}`;
    const pod = theOnly(
      parseManifests(
        renderChart({
          args: ['--set', `image.digest=${digest},imagePullSecrets[0].name=pull,driverName=d.example`],
        }),
      ),
      'Pod',
    );
    assert.equal(pod.metadata.annotations?.['helm.sh/hook'], 'test');
    const { volumes, containers } = pod['spec'] as {
      volumes: readonly { csi: object & { volumeAttributes: Record<string, string> } }[];
      containers: readonly { image: string }[];
    };
    const csi = volumes[0]?.csi;
    assert.deepEqual(csi, {
      driver: 'd.example',
      readOnly: true,
      nodePublishSecretRef: { name: 'pull' },
      volumeAttributes: { reference: containers[0]?.image },
    });
    assert.ok(parseAttributes(csi?.volumeAttributes ?? {}).reference.endsWith(digest));
  });

  test('mounts nothing inside of the directory of kubelet, from where it would propagate to the node', () => {
    for (const file of [undefined, ...profiles]) {
      const { container, flag } = podWith(
        ...(file === undefined ? [] : ['--values', join(chartDirectory, file)]),
      );
      const [kubeletDir = '', stateDir = ''] = [flag('kubeletDir'), flag('stateDir')];
      for (const { mountPath } of container.volumeMounts)
        assert.ok(!mountPath.startsWith(`${kubeletDir}/`), `${file}: ${mountPath}`);
      const isMounted = container.volumeMounts.some(({ mountPath }) => mountPath === stateDir);
      assert.equal(isMounted, !stateDir.startsWith(`${kubeletDir}/`), file ?? 'defaults');
    }
  });

  test('names the image by its digest, and otherwise by the version of the chart', () => {
    const digest = `sha256:${'ab'.repeat(32)}`;
    assert.match(podWith().container.image, new RegExp(`/oci-artifact-csi:${version}$`));
    assert.match(podWith('--set', `image.digest=${digest}`).container.image, new RegExp(`csi@${digest}$`));
  });

  test('lets OpenShift run it where OpenShift is, or where it is told', () => {
    const bindings = (options: RenderOptions): number =>
      parseManifests(renderChart(options)).filter(({ kind }) => kind === 'RoleBinding').length;
    assert.equal(bindings({}), 0);
    assert.equal(bindings({ args: ['--api-versions', 'security.openshift.io/v1'] }), 1);
    assert.equal(bindings({ args: ['--set', 'openshiftScc=always'] }), 1);
  });
});

test('the socket of dfdaemon and the directory of its files are those of the node', needs('helm'), () => {
  const mountsOf = (...args: readonly string[]): readonly unknown[] =>
    podWith(...args).container.volumeMounts.filter(({ name }) => name.startsWith('dragonfly'));
  assert.deepEqual(mountsOf(), []);
  assert.deepEqual(mountsOf('--set', 'dragonflySocket=/var/run/dragonfly/dfdaemon.sock'), [
    { name: 'dragonfly-socket', mountPath: '/var/run/dragonfly' },
    { name: 'dragonfly', mountPath: '/var/lib/dragonfly/oci-artifact-csi' },
  ]);
  const inState = ['stateDir=/var/lib/dragonfly/csi', 'dragonflyDir=/var/lib/dragonfly/csi/handover'];
  const args = ['dragonflySocket=/run/dragonfly/dfdaemon.sock', ...inState].flatMap(value => [
    '--set',
    value,
  ]);
  assert.deepEqual(mountsOf(...args), [{ name: 'dragonfly-socket', mountPath: '/run/dragonfly' }]);
});

test('the socket that shows the cache is in a directory of the node', needs('helm'), () => {
  const shareOf = (...args: readonly string[]): readonly unknown[] => {
    const { pod, container } = podWith(...args);
    const isShare = ({ name }: { readonly name: string }): boolean => name === 'share';
    return [...container.volumeMounts.filter(isShare), ...pod.volumes.filter(isShare)];
  };
  assert.deepEqual(shareOf(), []);
  assert.deepEqual(shareOf('--set', 'containerdSocket=/run/share/containerd.sock'), [
    { name: 'share', mountPath: '/run/share' },
    { name: 'share', hostPath: { path: '/run/share', type: 'DirectoryOrCreate' } },
  ]);
  const inState = '/var/lib/oci-artifact-csi/containerd.sock';
  assert.deepEqual(shareOf('--set', `containerdSocket=${inState}`), []);
  assert.equal(podWith('--set', `containerdSocket=${inState}`).flag('containerdSocket'), inState);
});

describe('the holder', needs('helm', 'kubeconform'), () => {
  const withHolder = (...more: readonly string[]): readonly Manifest[] => {
    const text = renderChart({ args: ['--set', ['holder.enabled=true', ...more].join(',')] });
    for (const kubernetes of kubernetesVersions) verifyManifests(text, [kubernetesSchemas(kubernetes)]);
    return parseManifests(text);
  };
  const podSpecOf = (manifests: readonly Manifest[], name: string): PodSpec => {
    const set = manifests.find(({ kind, metadata }) => kind === 'DaemonSet' && metadata.name.endsWith(name));
    assert.ok(set);
    return (set['spec'] as { template: { spec: PodSpec } }).template.spec;
  };

  test('is not there by default, and no flag names it', () => {
    assert.equal(podWith().flag('holder'), undefined);
    assert.ok(!renderChart().includes('holder'));
  });

  test('has no capability and no right, and listens where the driver looks', () => {
    const manifests = withHolder('kubeletDir=/var/lib/k0s/kubelet', 'driverName=d.example', 'events=false');
    assert.deepEqual(
      manifests.map(({ kind }) => kind).filter(kind => /Role/.test(kind)),
      [],
    );
    const { automountServiceAccountToken, containers, volumes } = podSpecOf(manifests, '-holder');
    assert.equal(automountServiceAccountToken, false);
    const [container] = containers;
    assert.deepEqual(container?.securityContext, {
      runAsUser: 0,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    });
    assert.deepEqual(container.volumeMounts, [{ name: 'socket', mountPath: '/holder' }]);
    const path = '/var/lib/k0s/kubelet/plugins/d.example-holder';
    assert.deepEqual(volumes, [{ name: 'socket', hostPath: { path, type: 'DirectoryOrCreate' } }]);
    const driver = podSpecOf(manifests, 'oci-artifact-csi').containers[0];
    const flag = driver?.env.find(({ name }) => name === formatVariable('holder'));
    assert.equal(flag?.value, `unix://${path}/hold.sock`);
    flags.holder.parse(flag.value);
  });

  test('outlives an update, is none of the pods of the driver, and has a place where OpenShift is', () => {
    const manifests = withHolder('networkPolicy.enabled=true', 'openshiftScc=always');
    const [driver, holder] = manifests
      .filter(({ kind }) => kind === 'DaemonSet')
      .map(({ spec }) => spec as { updateStrategy: { type: string }; selector: object })
      .toSorted((one, other) => (one.updateStrategy.type > other.updateStrategy.type ? -1 : 1));
    assert.deepEqual(holder?.updateStrategy, { type: 'OnDelete' });
    assert.notDeepEqual(holder.selector, driver?.selector);
    const policies = manifests.filter(({ kind }) => kind === 'NetworkPolicy').map(({ spec }) => spec);
    assert.deepEqual(
      policies.map(spec => ({
        matchLabels: (spec as { podSelector: { matchLabels: object } }).podSelector.matchLabels,
      })),
      [holder.selector, driver?.selector].toSorted((a, b) =>
        JSON.stringify(a) < JSON.stringify(b) ? 1 : -1,
      ),
    );
    const { subjects } = theOnly(manifests, 'RoleBinding') as unknown as {
      subjects: readonly { name: string }[];
    };
    assert.equal(subjects.length, 2);
  });
});

describe('a value that cannot be right', needs('helm', 'helm4'), () => {
  const rule = 'accessPolicy.inline.rules[0]';
  const forNobody = `accessPolicy.inline.default=deny,${rule}.action=allow,${rule}.references[0]=**`;
  for (const [set, message] of [
    ['kubeletdir=/x', /kubeletdir/],
    ['image.sha=1', /sha/],
    ['resources.limit.cpu=1', /limit/],
    ['tolerations[0].operater=Exists', /operater/],
    ['cacheHigh=101', /cacheHigh|maximum/],
    ['cacheHigh=60,cacheLow=70', /cacheLow \(70\) is above cacheHigh \(60\)/],
    [
      'hostsDir.hostPath=/etc/containerd/certs.d,hostsDir.inline.a\\.example=x',
      /hostsDir has hostPath and inline, and must have one of them: remove the other, for example by --set hostsDir\.hostPath=null/,
    ],
    ['authFile.inline=x,authFile.secret.name=a,authFile.secret.key=b', /--set authFile\.inline=null/],
    ['diskMax=70', /cacheHigh \(75\) is above diskMax \(70\)/],
    ['proxy.secret=a b', /secret/],
    ['prefetch.inline.artifacts[0].refrence=a.example/b:1', /refrence/],
    [
      'prefetch.inline.artifacts[0].reference=a.example/b:1,prefetch.inline.artifacts[0].interval=59s',
      /interval/,
    ],
    ['prefetchLabels=true', /set prefetchResources: true/],
    ['prefetchSecrets.shop[0]=pull', /set prefetchResources: true/],
    ['prefetchResources=true,prefetchSecrets.shop=pull', /prefetchSecrets/],
    ['accessPolicy.inline.default=dney', /default/],
    [forNobody, /oneOf/],
    [`${forNobody},${rule}.namespaces[0]=a,${rule}.namespaceSelector.matchLabels.b=c`, /oneOf/],
    ['policy.inline.defaul[0].type=reject', /defaul/],
    ['policy.inline.default[0].type=foo', /type/],
    ['policy.inline.default[0].type=sigstoreSigned,policy.inline.default[0].keyFile=/a', /keyFile/],
    ['holder.patience=long', /patience|pattern/],
    ['scrubInterval=1w', /scrubInterval|pattern/],
    ['kubeletDir=var/lib', /kubeletDir|pattern/],
    ['driverName=a/b', /driverName|pattern/],
    ['image.digest=sha256:1', /digest|pattern/],
    ['registriesConf.inline=x,registriesConf.hostPath=/etc/containers/registries.conf', /registriesConf/],
    ['registriesConf.hostPath=/etc/registries.conf', /registriesConf/],
    ['authFile.configMap.name=x,authFile.configMap.key=y', /authFile/],
    ['hostsDir.inline.a/b=x', /hostsDir/],
    ['updateStrategy.rollingUpdate.maxUnavailable=1', /rollingUpdate/],
    ['updateStrategy.type=Recreate', /updateStrategy/],
    ['containerdSocket=/run/containerd.sock/', /containerdSocket/],
    ['credentialProviderConfig.hostPath=/etc/eks/config.json', /credentialProviderBinDir need each other/],
  ] as const)
    test(`is refused: ${set}`, () => refuses(['--set', set], message));

  test('is refused: an access policy that reads labels, without the right to read them', () => {
    const policy = {
      default: 'deny',
      rules: [{ namespaceSelector: { matchLabels: { team: 'a' } }, references: ['**'], action: 'allow' }],
    };
    const args = ['--set-json', `accessPolicy.inline=${JSON.stringify(policy)}`];
    refuses(args, /set podPullSecrets: true/);
    refuses(
      [
        '--set-json',
        'prefetch.inline={"artifacts": [{"reference": "a.example/b:1", "nodeSelector": {"a": "b"}}]}',
      ],
      /set nodeLabels: api/,
    );
    renderChart({ args: [...args, '--set', 'podPullSecrets=true'] });
  });

  test('is not a comment that names a field', () => {
    const text = '# without a namespaceSelector\ndefault: deny\n';
    renderChart({ args: ['--set-json', `accessPolicy.inline=${JSON.stringify(text)}`] });
    const rules = 'default: deny\nrules: [{namespaceSelector: {matchLabels: {a: b}}}]\n';
    refuses(['--set-json', `accessPolicy.inline=${JSON.stringify(rules)}`], /set podPullSecrets: true/);
  });

  test('is not a path that YAML would cut', () => {
    const { pod, container } = podWith('--set', 'stateDir=/data/oci #2');
    assert.deepEqual(pod.volumes.find(({ name }) => name === 'state')?.['hostPath'], {
      path: '/data/oci #2',
      type: 'DirectoryOrCreate',
    });
    assert.ok(container.volumeMounts.some(({ mountPath }) => mountPath === '/data/oci #2'));
  });

  test('is not what Helm adds to the values of a dependency', () => {
    renderChart({ args: ['--set', 'global.imageRegistry=x'] });
  });
});

describe('a file of the configuration', needs('helm', 'helm4', 'kubeconform'), () => {
  test('of one kind takes the place of that of a profile, once the other kind is null', () => {
    const profile = ['--values', 'charts/oci-artifact-csi/profiles/talos.yaml'];
    const { pod, flag } = podWith(
      ...profile,
      '--set',
      'hostsDir.inline.a\\.example=x,hostsDir.hostPath=null',
    );
    assert.ok(pod.volumes.some(({ name }) => name === 'hosts-dir'));
    assert.equal(flag('hostsDir'), '/etc/oci-artifact-csi/hosts-dir');
    assert.equal(podWith('--set', 'hostsDir.hostPath=null').flag('hostsDir'), undefined);
    const { manifests } = podWith('--set', 'podPullSecrets=true,accessPolicy.hostPath=null');
    assert.doesNotMatch(JSON.stringify(theOnly(manifests, 'ClusterRole')), /"namespaces"/);
  });

  const mountOf = ({ container }: ReturnType<typeof podWith>, path: string): string | undefined =>
    container.volumeMounts.find(({ mountPath }) => path.startsWith(`${mountPath}/`) || path === mountPath)
      ?.name;

  test('that is inline is in a ConfigMap, or in a Secret if its text is secret', () => {
    const inline = {
      registriesConf: { inline: '[[registry]]\nlocation = "a.example"\n' },
      registriesConfDir: { inline: { '10-a.conf': 'unqualified-search-registries = []\n' } },
      hostsDir: { inline: { 'a.example:5000': 'server = "https://a.example:5000"\n' } },
      certsDir: { inline: { 'a.example:5000': { 'ca.crt': 'PEM', 'node.key': 'KEY' } } },
      caFile: { inline: 'PEM' },
      authFile: { inline: '{"auths": {}}' },
      accessPolicy: { inline: { default: 'allow' } },
      policy: { inline: { default: [{ type: 'reject' }] } },
      prefetch: { inline: { artifacts: [{ reference: 'a.example/b:1' }] } },
      credentialProviderConfig: { inline: 'providers: []' },
      credentialProviderBinDir: { hostPath: '/opt/credential-providers' },
    };
    const args = Object.entries(inline).flatMap(([key, value]) => [
      '--set-json',
      `${key}=${JSON.stringify(value)}`,
    ]);
    const rendered = podWith(...args);
    verifyManifests(renderChart({ args }), [kubernetesSchemas(kubernetesVersions[0] ?? '')]);
    const data = theOnly(rendered.manifests, 'ConfigMap')['data'] as Record<string, string>;
    const secret = theOnly(rendered.manifests, 'Secret')['stringData'] as Record<string, string>;
    assert.deepEqual(Object.values(secret).toSorted(), ['KEY', 'PEM', '{"auths": {}}']);
    assert.equal(data['registries.conf'], inline.registriesConf.inline);
    assert.deepEqual(parse(data['access-policy.yaml'] ?? ''), { default: 'allow' });
    assert.deepEqual(JSON.parse(data['policy.json'] ?? ''), { default: [{ type: 'reject' }] });
    const paths = [...rendered.pod.volumes].flatMap(volume => {
      const { items = [] } = (volume['configMap'] ?? volume['secret'] ?? {}) as {
        items?: { key: string; path: string }[];
      };
      return items.map(({ key, path }) => {
        assert.ok(key in (volume['secret'] === undefined ? data : secret), key);
        return `${volume.name}/${path}`;
      });
    });
    assert.deepEqual(paths.toSorted(), [
      'access-policy/access-policy.yaml',
      'auth-file/auth.json',
      'ca-file/ca.pem',
      'certs-dir/a.example:5000/ca.crt',
      'certs-dir/a.example:5000/node.key',
      'credential-provider-config/credential-providers.yaml',
      'hosts-dir/a.example:5000/hosts.toml',
      'policy/policy.json',
      'prefetch/prefetch.yaml',
      'registries-conf-dir/10-a.conf',
      'registries-conf/registries.conf',
    ]);
    for (const key of Object.keys(inline) as (keyof Settings)[]) {
      const path = rendered.flag(key) ?? '';
      flags[key].parse(path);
      assert.ok(mountOf(rendered, path), `${key} at ${path}`);
    }
    assert.equal(rendered.flag('policy'), '/etc/oci-artifact-csi/policy/policy.json');
    assert.equal(rendered.flag('hostsDir'), '/etc/oci-artifact-csi/hosts-dir');
  });

  test('that is in an existing object is mounted with all that the object has', () => {
    const set = [
      'policy.configMap.name=signing,policy.configMap.key=policy.json',
      'authFile.secret.name=pull,authFile.secret.key=\\.dockerconfigjson',
      'registriesConfDir.configMap.name=drop-ins',
    ].join(',');
    const rendered = podWith('--set', set);
    assert.equal(rendered.flag('authFile'), '/etc/oci-artifact-csi/auth-file/.dockerconfigjson');
    assert.equal(rendered.flag('registriesConfDir'), '/etc/oci-artifact-csi/registries-conf-dir');
    assert.deepEqual(
      rendered.pod.volumes.filter(({ name }) => mountOf(rendered, `/etc/oci-artifact-csi/${name}`)),
      [
        { name: 'auth-file', secret: { secretName: 'pull', defaultMode: 256 } },
        { name: 'policy', configMap: { name: 'signing' } },
        { name: 'registries-conf-dir', configMap: { name: 'drop-ins' } },
      ],
    );
  });

  test('that is on the node keeps its path, and its directory is mounted once', () => {
    const rendered = podWith(
      '--set',
      [
        'registriesConf.hostPath=/etc/containers/registries.conf',
        'policy.hostPath=/etc/containers/policy.json',
        'certsDir.hostPath=/etc/containers/certs.d',
        'authFile.hostPath=/var/lib/kubelet/config.json',
        'hostsDir.hostPath=/etc/containers/sub/hosts',
        'nodeDirectories={/etc/pki/rpm}',
      ].join(','),
    );
    assert.equal(rendered.flag('certsDir'), '/etc/containers/certs.d');
    assert.equal(rendered.flag('authFile'), '/var/lib/kubelet/config.json');
    const paths = rendered.container.volumeMounts.map(({ mountPath }) => mountPath);
    assert.deepEqual(paths, [
      '/var/lib/kubelet',
      '/csi',
      '/var/lib/oci-artifact-csi',
      '/tmp',
      '/etc/containers',
      '/etc/pki/rpm',
    ]);
  });

  test('never is a single mounted file, which kubelet would not update', () => {
    assert.doesNotMatch(renderChart({ args: ['--set', 'caFile.inline=PEM'] }), /subPath/);
  });
});
