import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { formatFlag, formatVariable } from '../../src/cli/command-line.ts';
import { exitCodes, exitMeanings } from '../../src/cli/exit.ts';
import { flags } from '../../src/cli/flags.ts';
import type { Settings } from '../../src/cli/settings.ts';
import { loadDefinitions } from '../../src/grpc/edge/definitions.ts';
import { createMetrics } from '../../src/http/metrics.ts';
import { parseAccessPolicy } from '../../src/policy/access/access-policy.ts';
import { parsePolicy } from '../../src/policy/signature/policy-json.ts';
import { parseHostsFile } from '../../src/registry/config/hosts-toml.ts';
import { parseRegistriesConf } from '../../src/registry/config/registries-conf.ts';
import { ArtifactError, type ErrorCode } from '../../src/util/error.ts';
import { parseAttributes } from '../../src/volume/attributes.ts';
import { runShell } from '../support/node/shell.ts';
import {
  type Document,
  findCommands,
  findExamples,
  findFlags,
  findLinks,
  findMethods,
  findMetrics,
  findPaths,
  toAnchors,
} from '../support/project/documents.ts';

/** What the documents say exists, and what exists is in the documents. */

const root = fileURLToPath(new URL('../..', import.meta.url));
const documents: readonly Document[] = globSync(['*.md', 'docs/*.md', 'charts/*/README.md'], {
  cwd: root,
}).map(path => ({
  path,
  text: readFileSync(join(root, path), 'utf8'),
}));
const all = documents.map(({ text }) => text).join('\n');
const textOf = (path: string): string => documents.find(document => document.path === path)?.text ?? '';

/** Flags of other programs. */
const foreign = [
  '--all',
  '--all-namespaces',
  '--docker-password',
  '--docker-server',
  '--docker-username',
  '--field-selector',
  '--push',
  '--untar',
  '--use',
  '--for',
  '--row',
  '--max-semi-space-size',
  '--verbose',
  '--times',
  '--to-oci-layout',
  '--annotation-file',
  '--artifact-type',
  '--namespace',
  '--pack',
  '--against',
  '--small',
  '--record',
  '--runs',
  '--outdir',
  '--replace',
  '--values',
  '--reset-then-reuse-values',
  '--set',
  '--plain-http',
  '--previous',
  '--image-credential-provider-config',
  '--image-credential-provider-bin-dir',
  '--tag',
  '--secret',
  '--build-arg',
  '--label',
  '--provenance',
  '--set',
  '--key',
  '--base',
  '--refresh',
  '--no-emulation',
  '--tlog-upload',
  '--use-signing-config',
  '--certificate-oidc-issuer',
  '--certificate-identity',
  '--type',
  '--format',
  '--address',
  '--containerd-sock',
  '--containerd-content-path',
  '--registry-addr',
  '--router-addr',
  '--metrics-addr',
  '--bootstrap-kind',
  '--dns-bootstrap-domain',
];

async function helpOf(command: string): Promise<string> {
  return (await runShell([command, '--help'].filter(word => word !== ''))).stdout;
}

async function listCommands(): Promise<readonly string[]> {
  return [...(await helpOf('')).matchAll(/^ {2}([a-z]+)(?:\|[a-z]+)? /gm)].map(([, name = '']) => name);
}

test('every flag of serve is a row of docs/flags.md, with its default', () => {
  const rows = textOf('docs/flags.md').split('\n');
  for (const key of Object.keys(flags) as (keyof Settings)[]) {
    const { preset, variable } = flags[key];
    const row = rows.find(line => line.startsWith(`| \`${formatFlag(key)}\` |`)) ?? '';
    const written = key === 'nodeId' ? "the host's name" : preset === '' ? 'none' : `\`${preset}\``;
    assert.ok(row.includes(`| ${written} |`), `${formatFlag(key)} has the default ${written}: ${row}`);
    assert.ok(variable === undefined || row.includes(`\`${variable}\``), `${row} names ${variable}`);
  }
});

test('every flag that is named exists, here or in the program that is meant', async () => {
  const helps = await Promise.all(['', ...(await listCommands())].map(helpOf));
  const known = findFlags(helps.join('\n'));
  assert.ok(known.includes('--repair') && known.includes('--pod-pull-secrets'));
  const named = findFlags(all);
  assert.deepEqual(
    named.filter(flag => !known.includes(flag) && !foreign.includes(flag)),
    [],
  );
  assert.deepEqual(
    foreign.filter(flag => !named.includes(flag)),
    [],
  );
});

test('the table of exit codes is that of the program', () => {
  const rows = [...textOf('docs/flags.md').matchAll(/^\| `(\d+)` \| `([a-z-]+)` \| (.*) \|$/gm)];
  assert.deepEqual(
    rows.map(([, exit, code, meaning]) => [Number(exit), code, meaning]),
    (Object.keys(exitCodes) as ErrorCode[]).map(code => [exitCodes[code], code, exitMeanings[code]]),
  );
  const [, listed = ''] = /^- .* The codes are (.*)\.$/m.exec(textOf('docs/output.md')) ?? [];
  assert.deepEqual((listed.match(/(?<=`)[a-z-]+(?=`)/g) ?? []).toSorted(), Object.keys(exitCodes).toSorted());
});

test('every command is shown in the README, and every one that is shown exists', async () => {
  const commands = await listCommands();
  const shown = new Set(findCommands(all));
  const elsewhere = ['serve', 'demo', 'version', 'help'];
  assert.deepEqual(
    commands.filter(name => !shown.has(name) && !elsewhere.includes(name)),
    [],
  );
  assert.deepEqual(
    [...shown].filter(name => !commands.includes(name)),
    [],
  );
});

test('every command line that is shown is one that the program takes', async () => {
  const helps = await Promise.all(['', ...(await listCommands())].map(helpOf));
  const lines = [...findExamples(textOf('README.md'), 'sh'), ...helps]
    .flatMap(text => [...text.matchAll(/^ *oci-artifact-csi ([^#|\n]*)/gm)])
    .map(([, words = '']) => words.trim().replaceAll("'", '').split(/ +/));
  assert.ok(lines.length > 30);
  const open = async (): Promise<never> => {
    throw new ArtifactError('busy', 'it was taken');
  };
  for (const words of lines) {
    const { code, stderr } = await runShell(words, {
      builder: { open, serve: async () => 0, hold: async () => {} },
    });
    assert.ok(code === 0 || /it was taken|there is no file/.test(stderr), `${words.join(' ')}: ${stderr}`);
  }
});

test('every variable that is named is that of a flag', () => {
  const known = (Object.keys(flags) as (keyof Settings)[]).map(formatVariable);
  const named = new Set(all.match(/\bOCI_ARTIFACT_[A-Z_]*[A-Z]\b/g));
  assert.ok(named.size > 0);
  assert.deepEqual(
    [...named].filter(name => !known.includes(name)),
    [],
  );
});

test('every volume attribute is in the table of the README', () => {
  let message = '';
  try {
    parseAttributes({ nobody: 'knows' });
  } catch (thrown) {
    message = (thrown as Error).message;
  }
  const attributes = /those that exist are (.*)$/.exec(message)?.[1]?.split(', ') ?? [];
  assert.ok(attributes.length > 5, message);
  const readme = textOf('README.md');
  const table = readme.slice(
    readme.indexOf('### Volume attributes'),
    readme.indexOf('### A PersistentVolume'),
  );
  const rows = [...table.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell = '']) => cell.match(/\w+/g) ?? []);
  assert.deepEqual(rows.toSorted(), attributes.toSorted());
});

test('every metric is in docs/flags.md, and every one that is named exists', async () => {
  const metrics = createMetrics('driver.example', {
    cacheBytes: async () => 0,
    disk: async () => ({ totalBytes: 0, usedBytes: 0, availableBytes: 0, totalInodes: 0, usedInodes: 0 }),
    volumes: async () => [],
    pulls: async () => [],
    problems: () => [],
    prefetch: () => [],
    failing: () => [],
    phase: () => 'open',
    droppedLines: () => 0,
    unhandledRejections: () => 0,
    isSealed: () => false,
    imagesOff: () => undefined,
    origins: () => undefined,
    onDemand: () => ({
      loading: 0,
      stalled: 0,
      complete: 0,
      missingBytes: 0,
      waitingReads: 0,
      failedReads: 0,
      support: { kind: 'untried' },
    }),
  });
  const known = [...(await metrics.scrape()).matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name);
  assert.ok(known.length > 10);
  assert.deepEqual(findMetrics(textOf('docs/flags.md')).toSorted(), known.toSorted());
  assert.deepEqual(
    findMetrics(all).filter(name => !known.includes(name.replace(/_seconds_count$/, '_seconds'))), // of a histogram
    [],
  );
});

test('every gRPC method that is named exists', () => {
  const methods = findMethods(all);
  assert.ok(methods.length > 4);
  for (const method of methods) {
    const [service = '', name = ''] = method.split('/');
    let found: unknown = loadDefinitions();
    for (const part of service.split('.')) found = (found as Record<string, unknown>)[part];
    assert.ok(name in (found as { service: object }).service, method);
  }
});

test('every link leads to a file and a heading of it, and every source file that is named is there', () => {
  for (const { path, text } of documents) {
    for (const link of findLinks(text)) {
      const [file = '', anchor] = link.split('#', 2);
      const target = file === '' ? path : posix.join(dirname(path), file);
      assert.ok(existsSync(join(root, target)), `${path} links to ${link}`);
      assert.ok(
        anchor === undefined || toAnchors(textOf(target)).includes(anchor),
        `${path} links to ${link}`,
      );
    }
  }
  const paths = findPaths(textOf('ARCHITECTURE.md')).filter(
    path => !/^[\w-]+\/$/.test(path) || path === 'test/',
  );
  assert.ok(paths.length > 20);
  assert.deepEqual(
    paths.filter(path => !existsSync(join(root, 'src', path)) && !existsSync(join(root, path))),
    [],
  );
});

test('every example is one that the program takes', () => {
  const [conf = '', hosts = ''] = findExamples(textOf('docs/registries.md'), 'toml');
  const registries = parseRegistriesConf(conf, '/r.conf');
  assert.equal(registries.rules.length, 3);
  assert.deepEqual(registries.notes, []);
  const { hosts: listed, notes } = parseHostsFile(hosts, '/hosts.toml', '/');
  assert.equal(listed.length, 2);
  assert.deepEqual(notes, []);
  for (const example of findExamples(textOf('docs/scale.md'), 'toml')) {
    const file = parseHostsFile(example, '/hosts.toml', '/');
    assert.deepEqual([file.hosts.length, file.notes], [1, []]);
  }
  const [access = ''] = findExamples(textOf('docs/trust.md'), 'yaml');
  assert.equal(parseAccessPolicy(access).rules.length, 2);
  const [policy = '', ...requirements] = findExamples(textOf('docs/trust.md'), 'json');
  const { fallback, scopes } = parsePolicy(policy, true);
  const kinds = [fallback, ...scopes.values()].flatMap(rule => rule.requirements.map(({ kind }) => kind));
  assert.deepEqual(kinds, ['reject', 'signed', 'signed', 'signed', 'accept']);
  for (const requirement of requirements) {
    const text = `{"default": [${requirement}]}`;
    assert.equal(parsePolicy(text).fallback.requirements[0]?.kind, 'signed', requirement);
    assert.equal(parsePolicy(text, true).fallback.requirements[0]?.kind, 'unusable', 'by --strict-policy');
  }
  assert.equal(requirements.length, 2);
  const [pod = '', driver = ''] = findExamples(textOf('README.md'), 'yaml');
  const { spec } = parse(pod) as {
    spec: {
      volumes: { csi: { driver: string; readOnly: boolean; volumeAttributes: Record<string, string> } }[];
    };
  };
  const csi = spec.volumes[0]?.csi;
  assert.equal(csi?.readOnly, true);
  assert.equal(csi.driver, flags.driverName.preset);
  assert.equal(parseAttributes(csi.volumeAttributes).reference, 'registry.example.com/models/tiny:1');
  const { metadata } = parse(driver) as { metadata: { name: string } };
  assert.equal(metadata.name, flags.driverName.preset);
});

test('the documents speak of the project alone', () => {
  for (const { path, text } of documents) {
    assert.doesNotMatch(text, /\/work\/|\bissue \d|(?<![\w/])#\d+\b/, path);
  }
});

test('what is not there is found', () => {
  assert.deepEqual(findFlags('`--a-b`, --cd=1 and x--de, ---'), ['--a-b', '--cd']);
  assert.deepEqual(findCommands('oci-artifact-csi ls\n`oci-artifact-csi frob x` oci-artifact-csi no'), [
    'ls',
    'frob',
  ]);
  assert.deepEqual(findMetrics('`oci_artifact_csi_frobs`{a="b"}'), ['oci_artifact_csi_frobs']);
  assert.deepEqual(findMethods('$sock csi.v1.Node/Frob'), ['csi.v1.Node/Frob']);
  assert.deepEqual(findLinks('[a](b.md#c) [d](https://e)'), ['b.md#c']);
  assert.deepEqual(findPaths('`volume/frob.ts`, `test/x/`, `a/b`, `/healthz`'), [
    'volume/frob.ts',
    'test/x/',
  ]);
  assert.deepEqual(toAnchors("# A b\n## What's cached, now"), ['a-b', 'whats-cached-now']);
  assert.deepEqual(findExamples('```a\n1\n```\n```b\n2\n```\n', 'b'), ['2\n']);
});
