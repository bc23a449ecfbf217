import assert from 'node:assert/strict';
import { rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  type ConfigurationDirectory,
  openConfigurationDirectory,
} from '../../../test/support/node/configuration-directory.ts';
import { rewrite } from '../../../test/support/os/rewrite.ts';
import { makeCertificate } from '../../../test/support/signing/certificate.ts';
import { valueOf } from '../../configfile/watched-file.ts';
import { ArtifactError } from '../../util/error.ts';
import { openConfiguration } from './configuration.ts';
import { toRoute } from './route.ts';

const repository = { registry: 'a.io', path: 'x' };
const rule = (location: string): string => `[[registry]]\nprefix = "a.io"\nlocation = "${location}"\n`;

/** A configuration, a clock for it, and its reports. */
function open(directory: ConfigurationDirectory) {
  let now = 0;
  const told: string[] = [];
  const configuration = openConfiguration(
    directory.files,
    text => told.push(text),
    () => now,
  );
  return {
    told,
    problems: configuration.problems,
    /** The upstreams of the repository, `ms` later. */
    hostAfter(ms: number) {
      now += ms;
      return toRoute(configuration.current(), repository, 'content').last.host;
    },
    trustAfter(ms: number) {
      now += ms;
      return valueOf(configuration.current().trust);
    },
    obstacles: configuration.obstacles,
  };
}

describe('files that change', () => {
  test('are checked at most once a second, when the configuration is used', async () => {
    await using directory = await openConfigurationDirectory({ 'registries.conf': rule('one.io') });
    const { hostAfter, told } = open(directory);
    await directory.write({ 'registries.conf': rule('other.io') });
    assert.equal(hostAfter(999), 'one.io');
    assert.equal(hostAfter(1), 'other.io');
    assert.deepEqual(told, ['the registry configuration has changed and was read again']);
  });

  const changes: readonly (readonly [
    what: string,
    change: (directory: ConfigurationDirectory) => Promise<void>,
  ])[] = [
    [
      'a file that is written in place, with the same size and times',
      directory => rewrite(directory.files.file, rule('two.io')),
    ],
    ['a new drop-in', directory => directory.write({ 'registries.conf.d/a.conf': rule('other.io') })],
    [
      'a file that is replaced',
      async directory => {
        await writeFile(join(directory.path, 'new'), rule('other.io'));
        await rename(join(directory.path, 'new'), directory.files.file);
      },
    ],
    [
      'a link with a new target, as in a ConfigMap',
      async directory => {
        await directory.write({ new: rule('other.io') });
        await unlink(directory.files.file);
        await symlink('new', directory.files.file);
      },
    ],
  ];
  for (const [what, change] of changes) {
    test(`${what} is a change`, async () => {
      await using directory = await openConfigurationDirectory({ 'registries.conf': rule('one.io') });
      const { hostAfter } = open(directory);
      assert.equal(hostAfter(1000), 'one.io');
      await change(directory);
      assert.notEqual(hostAfter(1000), 'one.io');
    });
  }

  test('a hosts.toml that is added, changed or removed takes effect', async () => {
    await using directory = await openConfigurationDirectory();
    const { hostAfter } = open(directory);
    assert.equal(hostAfter(1000), 'a.io');
    await directory.write({ 'hosts/a.io/hosts.toml': 'server = "https://one.io"' });
    assert.equal(hostAfter(1000), 'one.io');
    await rewrite(join(directory.files.hostsDir ?? '', 'a.io/hosts.toml'), 'server = "https://two.io"');
    assert.equal(hostAfter(1000), 'two.io');
    await rm(join(directory.path, 'hosts/a.io'), { recursive: true });
    assert.equal(hostAfter(1000), 'a.io');
  });

  test('a certificate that is renewed takes effect', async () => {
    const [old, renewed] = [makeCertificate(), makeCertificate()];
    await using directory = await openConfigurationDirectory({ 'certs/a.io/ca.crt': old.cert });
    let now = 0;
    const configuration = openConfiguration(
      directory.files,
      () => {},
      () => now,
    );
    const trusted = () => toRoute(configuration.current(), repository, 'content').last.trust.ca;
    assert.deepEqual(trusted(), [old.cert]);
    await directory.write({ 'certs/a.io/ca.crt': renewed.cert });
    now += 1000;
    assert.deepEqual(trusted(), [renewed.cert]);
  });
});

describe('a file that breaks', () => {
  test('leaves the last good version in use, and is reported once until it is right', async () => {
    await using directory = await openConfigurationDirectory({ 'registries.conf': rule('one.io') });
    const { hostAfter, problems, told } = open(directory);
    await directory.write({ 'registries.conf.d/a.conf': 'short-name-mode = 1' });
    assert.equal(hostAfter(1000), 'one.io');
    assert.equal(hostAfter(1000), 'one.io');
    assert.equal(problems().length, 1);
    assert.match(
      problems().join(),
      /\/a\.conf:1: short-name-mode must be text.*; until the file is corrected, its last valid version stays in use$/,
    );
    assert.deepEqual(told, problems());
    await directory.write({ 'registries.conf.d/a.conf': rule('other.io') });
    assert.equal(hostAfter(1000), 'other.io');
    assert.deepEqual(problems(), []);
  });

  test('is reported to callers that only ask for problems', async () => {
    await using directory = await openConfigurationDirectory();
    let now = 0;
    const { problems } = openConfiguration(
      directory.files,
      () => {},
      () => now,
    );
    await unlink(directory.files.file);
    now += 1000;
    assert.match(problems().join(), /registries\.conf does not exist/);
  });
});

describe('a file that is broken at the start', () => {
  const others = { registry: 'b.io', path: 'x' };

  test('refuses whatever needs it, and is used once it is right', async () => {
    await using directory = await openConfigurationDirectory({ 'registries.conf': '[[registry]' });
    const { hostAfter, problems, obstacles, told } = open(directory);
    assert.match(
      problems().join(),
      /registries\.conf:.*; until the file is corrected, what needs it is refused$/,
    );
    assert.deepEqual(obstacles(), problems());
    assert.deepEqual(told, problems());
    assert.throws(() => hostAfter(1000), { code: 'unavailable', message: problems().join() });
    await directory.write({ 'registries.conf': rule('one.io') });
    assert.equal(hostAfter(1000), 'one.io');
    assert.deepEqual([...problems(), ...obstacles()], []);
    await directory.write({ 'registries.conf': '[[registry]' });
    assert.equal(hostAfter(1000), 'one.io');
    assert.equal(problems().length, 1);
    assert.deepEqual(obstacles(), []);
  });

  for (const [what, file, text] of [
    ['a hosts.toml', 'hosts/a.io/hosts.toml', 'skip_verify = 1'],
    ['a certificate', 'certs/a.io/ca.crt', 'x'],
  ] as const) {
    test(`affects only its registry, if it is ${what}; others are added, break and are removed`, async () => {
      await using directory = await openConfigurationDirectory({ [file]: text });
      let now = 0;
      const configuration = openConfiguration(
        directory.files,
        () => {},
        () => now,
      );
      const hostOf = (asked: typeof repository) =>
        toRoute(configuration.current(), asked, 'content').last.host;
      assert.throws(() => hostOf(repository), { code: 'unavailable' });
      assert.equal(hostOf(others), 'b.io');
      await directory.write({ 'hosts/b.io/hosts.toml': 'server = "https://one.io"' });
      now += 1000;
      assert.equal(hostOf(others), 'one.io');
      await directory.write({ 'hosts/b.io/hosts.toml': 'server = 1' });
      now += 1000;
      assert.equal(hostOf(others), 'one.io');
      assert.equal(configuration.problems().length, 2);
      assert.equal(configuration.obstacles().length, 1);
      await rm(join(directory.path, file));
      now += 1000;
      assert.equal(hostOf(repository), 'a.io');
      assert.deepEqual(configuration.obstacles(), []);
    });
  }
});

describe('certificates that are wrong are refused, and the error names their file', () => {
  const pem = makeCertificate();
  const other = makeCertificate();
  const rows: readonly (readonly [string, Readonly<Record<string, string>>, RegExp])[] = [
    [
      'not PEM',
      { 'certs/a.io/ca.crt': 'x' },
      /the CA file .*a\.io\/ca\.crt must have PEM \(-----BEGIN CERTIFICATE-----\), and has no PEM block/,
    ],
    [
      'a key as a CA',
      { 'certs/a.io/ca.crt': pem.key },
      /ca\.crt must have PEM .*, and has one block, PRIVATE KEY/,
    ],
    [
      'no key',
      { 'certs/a.io/c.cert': pem.cert },
      /c\.key does not exist, and .*c\.cert is of no use without it/,
    ],
    ['no certificate', { 'certs/a.io/c.key': pem.key }, /c\.cert does not exist, and .*c\.key is of no use/],
    [
      'two that do not belong together',
      { 'certs/a.io/c.cert': pem.cert, 'certs/a.io/c.key': other.key },
      /the key in .*c\.key is not that of the certificate in .*c\.cert/,
    ],
    ['in a hosts directory', { 'hosts/a.io/ca.crt': 'x' }, /hosts\/a\.io\/ca\.crt must have PEM/],
    ['of a hosts.toml', { 'hosts/a.io/hosts.toml': 'ca = "no.crt"' }, /hosts\/a\.io\/no\.crt does not exist/],
    [
      'both in one file, of a hosts.toml',
      { 'hosts/a.io/hosts.toml': 'client = "c.pem"', 'hosts/a.io/c.pem': pem.cert },
      /key of a client certificate .*c\.pem must have PEM \(-----BEGIN PRIVATE KEY-----, not encrypted\), and has one block, CERTIFICATE/,
    ],
  ];
  for (const [what, files, why] of rows) {
    test(what, async () => {
      await using directory = await openConfigurationDirectory(files);
      const { hostAfter, problems } = open(directory);
      assert.equal(problems().length, 1);
      assert.match(problems().join(), why);
      assert.ok(
        !problems()
          .join()
          .includes(pem.key.split('\n')[1] ?? ''),
        'nothing of a key is shown',
      );
      assert.throws(
        () => hostAfter(0),
        (thrown: unknown) =>
          thrown instanceof ArtifactError &&
          thrown.code === 'unavailable' &&
          thrown.message === problems().join(),
      );
    });
  }

  for (const flag of ['hostsDir', 'certsDir'] as const) {
    test(`a directory that does not exist: ${flag}`, async () => {
      await using directory = await openConfigurationDirectory();
      const files = { ...directory.files, [flag]: join(directory.path, 'nowhere') };
      const { hostAfter } = open({ ...directory, files });
      assert.throws(() => hostAfter(0), {
        code: 'unavailable',
        message:
          /nowhere does not exist; correct --(hosts|certs)-dir; until the file is corrected, what needs it/,
      });
    });
  }

  const caFiles: readonly (readonly [what: string, text: string | undefined, why: RegExp])[] = [
    ['is not there', undefined, /the CA file .*ca\.pem does not exist; correct --ca-file; until/],
    [
      'contains no certificate',
      'nothing',
      /the CA file .*ca\.pem must have PEM .*, and has no PEM block; until/,
    ],
  ];
  for (const [what, text, why] of caFiles) {
    test(`a CA file that ${what}, until it is right`, async () => {
      await using directory = await openConfigurationDirectory(text === undefined ? {} : { 'ca.pem': text });
      const files = { ...directory.files, caFile: join(directory.path, 'ca.pem') };
      const { hostAfter, problems, trustAfter } = open({ ...directory, files });
      assert.match(problems().join(), why);
      assert.throws(() => trustAfter(0), { code: 'unavailable', message: why });
      assert.equal(hostAfter(0), 'a.io');
      await directory.write({ 'ca.pem': pem.cert });
      assert.deepEqual(trustAfter(1000).ca, [pem.cert]);
      await directory.write({ 'ca.pem': other.cert });
      assert.deepEqual(trustAfter(1000).ca, [other.cert], 'renewed');
    });
  }
});
