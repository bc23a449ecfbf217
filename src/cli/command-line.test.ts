import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { test } from 'node:test';
import { describeUnknown, formatFlag, formatVariable, toSettings } from './command-line.ts';
import { flags } from './flags.ts';
import type { Settings } from './settings.ts';

test('with no flag and no environment the defaults hold', () => {
  assert.deepEqual(toSettings({}, {}), {
    endpoint: '/csi/csi.sock',
    driverName: 'oci-artifact.csi.internal',
    nodeId: hostname(),
    stateDir: '/var/lib/oci-artifact-csi',
    selinuxLabel: 'system_u:object_r:container_file_t:s0',
    kubeletDir: '/var/lib/kubelet',
    register: false,
    httpListen: { host: undefined, port: 9809 },
    pageListen: { host: '127.0.0.1', port: 9810 },
    containerdSocket: undefined,
    share: { isPublic: true, globs: [] },
    registriesConf: '/etc/containers/registries.conf',
    registriesConfDir: '/etc/containers/registries.conf.d',
    hostsDir: undefined,
    certsDir: undefined,
    dragonflySocket: undefined,
    dragonflyDir: '/var/lib/dragonfly/oci-artifact-csi',
    dragonflyLink: false,
    authFile: undefined,
    credentialProviderConfig: undefined,
    credentialProviderBinDir: undefined,
    podPullSecrets: false,
    events: false,
    cachedAuthorization: 'registry',
    accessPolicy: undefined,
    policy: undefined,
    bundleIdentity: undefined,
    strictPolicy: false,
    caFile: undefined,
    maxParallelDownloads: 6,
    minDownloadRate: 16 * 1024,
    retryAfterMax: 15 * 60_000,
    prefetch: undefined,
    prefetchRate: 0,
    downloadRate: 0,
    originSlots: 0,
    originPatience: 600_000,
    alwaysJitter: 0,
    nodeLabels: undefined,
    mirrorRate: 0,
    prefetchResources: false,
    prefetchLabels: false,
    cacheHigh: 75,
    cacheLow: 70,
    diskMax: 90,
    cacheMax: undefined,
    maxArtifactSize: undefined,
    durablePublish: false,
    onDemand: 'on',
    onDemandPatience: 60_000,
    chunkLists: 'manifest',
    holder: undefined,
    scrubInterval: 7 * 24 * 60 * 60 * 1000,
    maxLayerEntries: 1_000_000,
    maxLayerSize: 2 ** 40,
    maxLayerRatio: 1000,
    logLevel: 'info',
    logFormat: 'json',
  } satisfies Settings);
});

test('a flag wins over the environment, and the environment over the default', () => {
  const environment = { OCI_ARTIFACT_CACHE_HIGH: '90', OCI_ARTIFACT_CACHE_LOW: '80' };
  const settings = toSettings({ cacheHigh: '85' }, environment);
  assert.equal(settings.cacheHigh, 85);
  assert.equal(settings.cacheLow, 80);
});

test('every flag has its variable, and two have names that CSI drivers share', () => {
  assert.equal(formatVariable('endpoint'), 'CSI_ENDPOINT');
  assert.equal(formatVariable('nodeId'), 'NODE_NAME');
  assert.equal(formatVariable('registriesConfDir'), 'OCI_ARTIFACT_REGISTRIES_CONF_DIR');
  assert.equal(formatFlag('registriesConfDir'), '--registries-conf-dir');
  const variables = Object.keys(flags).map(key => formatVariable(key as keyof Settings));
  assert.equal(new Set(variables).size, variables.length);
});

const accepted: [keyof Settings, string, unknown][] = [
  ['endpoint', 'unix:///run/a.sock', '/run/a.sock'],
  ['endpoint', `unix:///${'a'.repeat(106)}`, `/${'a'.repeat(106)}`],
  ['httpListen', '', undefined],
  ['httpListen', '127.0.0.1:0', { host: '127.0.0.1', port: 0 }],
  ['httpListen', '[::1]:9809', { host: '::1', port: 9809 }],
  ['httpListen', 'localhost:80', { host: 'localhost', port: 80 }],
  ['pageListen', '', undefined],
  ['pageListen', 'localhost:80', { host: 'localhost', port: 80 }],
  ['pageListen', '[::1]:80', { host: '::1', port: 80 }],
  ['containerdSocket', '', undefined],
  ['containerdSocket', '/run/oci/containerd.sock', '/run/oci/containerd.sock'],
  ['dragonflySocket', '', undefined],
  ['dragonflySocket', '/run/dragonfly/dfdaemon.sock', '/run/dragonfly/dfdaemon.sock'],
  ['share', 'public', { isPublic: true, globs: [] }],
  ['share', 'public, ghcr.io/team/**', { isPublic: true, globs: ['ghcr.io/team/**'] }],
  ['share', 'ghcr.io/a/b,ghcr.io:443/a/c:1', { isPublic: false, globs: ['ghcr.io/a/b', 'ghcr.io/a/c:1'] }],
  ['minDownloadRate', '1MiB/s', 1024 ** 2],
  ['minDownloadRate', '0', 0],
  ['retryAfterMax', '90s', 90_000],
  ['retryAfterMax', '0', 0],
  ['cacheMax', '500GiB', 500 * 2 ** 30],
  ['cacheMax', '', undefined],
  ['maxArtifactSize', '10G', 10e9],
  ['scrubInterval', '36h', 36 * 60 * 60 * 1000],
  ['onDemand', 'off', 'off'],
  ['onDemandPatience', '5s', 5_000],
  ['chunkLists', 'none', 'none'],
  ['holder', 'unix:///run/hold.sock', '/run/hold.sock'],
  ['scrubInterval', '0', 0],
  ['register', 'true', true],
  ['cacheHigh', '80%', 80],
  ['authFile', '', undefined],
  ['authFile', '/etc/auth.json', '/etc/auth.json'],
  ['stateDir', 'state', `${process.cwd()}/state`],
  ['cachedAuthorization', 'off', 'off'],
  ['policy', '/etc/containers/policy.json', '/etc/containers/policy.json'],
  ['bundleIdentity', 'digest', 'digest'],
  ['strictPolicy', 'true', true],
  ['driverName', 'a', 'a'],
  ['logFormat', 'text', 'text'],
];
for (const [key, text, value] of accepted) {
  test(`${formatFlag(key)} accepts "${text.slice(0, 40)}"`, () => {
    assert.deepEqual(toSettings({ [key]: text }, {})[key], value);
  });
}

const refused: [keyof Settings, string, RegExp][] = [
  ['endpoint', 'tcp://127.0.0.1:10000', /must be a unix socket/],
  ['endpoint', 'unix://relative.sock', /must be a unix socket/],
  ['endpoint', `unix:///${'a'.repeat(107)}`, /has 108 bytes; Linux allows 107/],
  ['endpoint', 'unix:///csi/', /invalid endpoint/],
  ['driverName', '-a', /driver name/],
  ['driverName', 'a'.repeat(64), /driver name/],
  ['driverName', 'a/b', /driver name/],
  ['nodeId', '', /node name/],
  ['nodeId', 'n'.repeat(257), /node name/],
  ['stateDir', '', /invalid path/],
  ['register', 'yes', /true or false/],
  ['httpListen', '9809', /invalid address/],
  ['pageListen', ':9810', /invalid address ":9810": must be on loopback/],
  ['pageListen', '10.0.0.1:9810', /must be on loopback/],
  ['httpListen', ':70000', /invalid address/],
  ['httpListen', '::1:80', /invalid address/],
  ['httpListen', '[localhost]:80', /invalid address/],
  ['cachedAuthorization', 'maybe', /registry, off/],
  ['bundleIdentity', 'tag', /digest/],
  ['maxParallelDownloads', '0', /invalid number/],
  ['maxParallelDownloads', '1.5', /invalid number/],
  ['cacheHigh', '101', /percentage/],
  ['cacheHigh', '0', /percentage/],
  ['cacheMax', 'lots', /invalid size/],
  ['logLevel', 'verbose', /debug, info/],
];
for (const [key, text, why] of refused) {
  test(`${formatFlag(key)} refuses "${text.slice(0, 40)}" and says which flag or variable it was`, () => {
    assert.throws(
      () => toSettings({ [key]: text }, {}),
      (error: Error) => {
        assert.match(error.message, why);
        assert.ok(error.message.startsWith(`${formatFlag(key)}: `), error.message);
        return true;
      },
    );
    assert.throws(() => toSettings({}, { [formatVariable(key)]: text }), {
      code: 'invalid',
      message: new RegExp(`^${formatVariable(key)}: `),
    });
  });
}

test('a mark above the next one is refused', () => {
  assert.throws(() => toSettings({ cacheLow: '80' }, {}), /--cache-low 80 is above --cache-high 75/);
  assert.equal(toSettings({ cacheLow: '75' }, {}).cacheLow, 75);
  assert.throws(
    () => toSettings({ diskMax: '60' }, {}),
    /--cache-high 75 is above --disk-max 60: pulls would/,
  );
  assert.equal(toSettings({ diskMax: '75' }, {}).diskMax, 75);
});

test('the configuration of credential providers requires the directory of their programs, and the reverse', () => {
  const config = { credentialProviderConfig: '/etc/providers.yaml' };
  assert.throws(() => toSettings(config, {}), { code: 'invalid', message: /give both or none/ });
  assert.throws(() => toSettings({ credentialProviderBinDir: '/bin' }, {}), /give both or none/);
  const both = toSettings({ ...config, credentialProviderBinDir: '/opt/bin' }, {});
  assert.equal(both.credentialProviderBinDir, '/opt/bin');
});

test('a variable of no flag is said, with the one that may be meant, and not those of a Service', () => {
  const known = Object.keys(flags).map(key => [formatVariable(key as keyof Settings), '']);
  assert.deepEqual(describeUnknown({ ...Object.fromEntries(known), PATH: '/bin' }), []);
  assert.deepEqual(describeUnknown({ OCI_ARTIFACT_CACHE_HIHG: '60' }), [
    'no flag has the environment variable "OCI_ARTIFACT_CACHE_HIHG" (did you mean OCI_ARTIFACT_CACHE_HIGH?); it is ignored',
  ]);
  const service = ['SERVICE_HOST', 'SERVICE_PORT', 'SERVICE_PORT_HTTP', 'PORT', 'PORT_80_TCP_ADDR'];
  assert.deepEqual(
    describeUnknown(Object.fromEntries(service.map(name => [`OCI_ARTIFACT_CSI_${name}`, 'x']))),
    [],
  );
});
