import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { parseHostsFile } from '../../src/registry/config/hosts-toml.ts';
import { parseRegistriesConf } from '../../src/registry/config/registries-conf.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { findExamples } from '../support/project/documents.ts';
import { needs, toolPath } from '../support/project/tools.ts';
import { makeCertificate } from '../support/signing/certificate.ts';

/** That one configuration serves the container runtime too: the parsers of containers and of containerd read the same. */

type Rule = {
  readonly Prefix: string;
  readonly Location: string;
  readonly Blocked: boolean;
  readonly Insecure: boolean;
  readonly Mirrors: readonly object[];
};

const documentOf = (name: string): Promise<string> =>
  readFile(join(import.meta.dirname, '../../docs', name), 'utf8');

/** What a runtime's parser makes of a file, or why it refuses it. */
function read(...of: readonly string[]): unknown {
  const { status, stdout, stderr } = spawnSync(toolPath('configread'), of, { encoding: 'utf8' });
  return status === 0 ? JSON.parse(stdout) : `refused: ${stderr.trim()}`;
}

async function write(path: string, text: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  return path;
}

test(
  'containers reads the documented registries.conf as this program does',
  needs('configread'),
  async () => {
    await using directory = await temporaryDirectory();
    const [text = '', ...more] = findExamples(await documentOf('registries.md'), 'toml').filter(example =>
      example.includes('[[registry]]'),
    );
    assert.equal(more.length, 0);
    const file = await write(join(directory.path, 'registries.conf'), text);
    const theirs = (read('registries', file) as readonly Rule[]).map(rule => ({
      prefix: rule.Prefix,
      location: rule.Location,
      blocked: rule.Blocked,
      insecure: rule.Insecure,
      mirrors: (rule.Mirrors ?? []).length,
    }));
    const ours = parseRegistriesConf(text, file).rules.map(rule => ({
      prefix: rule.prefix,
      location: rule.location ?? '',
      blocked: rule.blocked,
      insecure: rule.insecure,
      mirrors: rule.mirrors.length,
    }));
    assert.deepEqual(
      theirs.toSorted((a, b) => (a.prefix < b.prefix ? -1 : 1)),
      ours.toSorted((a, b) => (a.prefix < b.prefix ? -1 : 1)),
    );
  },
);

for (const [what, text] of [
  [
    'tables of one location that disagree in blocked',
    'location = "a.io"\nblocked = true\n[[registry]]\nlocation = "a.io"',
  ],
  [
    'tables of one location that disagree in insecure',
    'location = "a.io"\ninsecure = true\n[[registry]]\nlocation = "a.io"',
  ],
  ['a prefix without a location', 'prefix = "a.io/x"'],
] as const) {
  test(`containers refuses ${what}, and so does this program`, needs('configread'), async () => {
    await using directory = await temporaryDirectory();
    const file = await write(join(directory.path, 'registries.conf'), `[[registry]]\n${text}\n`);
    assert.match(String(read('registries', file)), /^refused: /);
    assert.throws(() => parseRegistriesConf(`[[registry]]\n${text}\n`, file), { code: 'invalid' });
  });
}

test('containers reads the documented policies', needs('configread'), async () => {
  await using directory = await temporaryDirectory();
  const policies = findExamples(await documentOf('trust.md'), 'json').filter(text =>
    text.includes('"default"'),
  );
  assert.ok(policies.length > 0);
  for (const text of policies) {
    const found = read('policy', await write(join(directory.path, 'policy.json'), text));
    assert.equal(typeof found, 'object', String(found));
  }
});

test('containerd reads the documented hosts.toml as this program does', needs('configread'), async () => {
  await using directory = await temporaryDirectory();
  const examples = findExamples(await documentOf('registries.md'), 'toml').filter(text =>
    text.includes('[host.'),
  );
  assert.ok(examples.length > 0);
  for (const text of examples) {
    const own = join(directory.path, 'registry.example.com');
    const { cert, key } = makeCertificate();
    for (const [, name = ''] of text.matchAll(/"([\w.-]+\.(?:crt|key))"/g)) {
      await write(join(own, name), name.endsWith('.key') ? key : cert);
    }
    const file = await write(join(own, 'hosts.toml'), text);
    const { hosts, server } = parseHostsFile(text, file, own);
    if (text.includes('${')) {
      // The document says that containerd refuses labels of nodes: it asks none of these hosts.
      const [only, ...others] = read('hosts', directory.path, 'registry.example.com') as { Host: string }[];
      assert.deepEqual([only?.Host, ...others], ['registry.example.com']);
      continue;
    }
    const ours = [...hosts, server].map(({ address }) => ({
      Scheme: address?.scheme,
      Host: address?.host,
      Path: address?.root,
    }));
    assert.deepEqual(read('hosts', directory.path, 'registry.example.com'), ours);
  }
});
