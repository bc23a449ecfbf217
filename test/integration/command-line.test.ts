import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { chunkListType } from '../../src/oci/plan.ts';
import { until } from '../support/late/loading.ts';
import { runCommandHere, usesStateDir } from '../support/node/command.ts';
import { startDaemon, testNode } from '../support/node/daemon.ts';
import { needs } from '../support/project/tools.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { makeCertificate } from '../support/signing/certificate.ts';

/** What users see of registries on the command line, without a daemon and through one. */

const held = new AsyncDisposableStack();
after(() => held.disposeAsync());
const registry = held.use(await openFaultyRegistry());
const node = held.use(await testNode([registry.host, '127.0.0.1:1']));

for (const through of ['a daemon', 'the state directory']) {
  test(
    `by ${through}, a pull fails after two attempts if the registry refuses connections`,
    needs('root'),
    async () => {
      await using stack = new AsyncDisposableStack();
      if (through === 'a daemon') stack.use(await startDaemon(node));
      const first = through === 'a daemon' ? '' : usesStateDir(node);
      const target = join(node.path, 'shown');
      for (const argv of [['pull'], ['resolve'], ['mount']]) {
        const started = performance.now();
        const operands = ['127.0.0.1:1/m:v1', ...(argv[0] === 'mount' ? [target] : [])];
        const { code, stderr } = await runCommandHere(node, [...argv, ...operands]);
        assert.ok(performance.now() - started < 6_000, `${argv[0]} took ${performance.now() - started} ms`);
        assert.equal(code, 8, stderr);
        assert.ok(stderr.includes(first), stderr);
        const lines = stderr.replace(first, '').trimEnd().split('\n');
        const refused = String.raw`127\.0\.0\.1:1 cannot be reached \(connect ECONNREFUSED 127\.0\.0\.1:1\)`;
        const isTold = !(argv[0] === 'resolve' && through === 'a daemon');
        if (isTold)
          assert.match(lines[0] ?? '', new RegExp(`^retrying in 0\\.\\d s \\(2 of 2\\): .*${refused}$`));
        assert.match(
          lines.at(-1) ?? '',
          new RegExp(
            `^oci-artifact-csi: 127.0.0.1:1/m:v1: .*${refused}; gave up after 2 tries in [\\d.]+ s; check the host and the network path to it$`,
          ),
        );
        assert.equal(lines.length, isTold ? 2 : 1, stderr);
      }
    },
  );

  test(`by ${through}, a pull prints each wait for a failing registry`, needs('root'), async () => {
    await using stack = new AsyncDisposableStack();
    if (through === 'a daemon') stack.use(await startDaemon(node));
    const repository = `busy/${through.replace(' ', '-').replaceAll(' ', '')}`;
    const { reference, layers } = await registry.push(repository, 'v1', [
      { name: 'a', bytes: Buffer.from(`bytes for ${through}`) },
    ]);
    const layer = layers[0]?.digest ?? '';
    const isShort = ({ path, nth }: { readonly path: string; readonly nth: number }): boolean =>
      (path.endsWith('/manifests/v1') && nth <= 2) || (path.endsWith(layer) && nth === 1);
    registry.fault(asked => (isShort(asked) ? { kind: 'status', status: 503 } : undefined));
    const { code, stderr } = await runCommandHere(node, ['pull', reference]);
    assert.equal(code, 0, stderr);
    const told = stderr.split('\n').filter(line => line.startsWith('retrying'));
    assert.match(told[0] ?? '', /^retrying in 0\.\d s \(2 of 9\): 127\.0\.0\.1:\d+ answered 503/);
    assert.match(told[1] ?? '', /^retrying in 0\.\d s \(3 of 9\): /);
    assert.match(
      told[2] ?? '',
      /^retrying in 0\.\d s \(2 of 9\): .*0 B of \S+ \S+ came, then: .* answered 503/,
    );
    assert.equal(told.length, 3, stderr);
  });

  test(`by ${through}, inspect lists all layers, also those that no tree shows`, needs('root'), async () => {
    await using stack = new AsyncDisposableStack();
    if (through === 'a daemon') stack.use(await startDaemon(node));
    const { reference } = await registry.push('listed', 'v1', [
      { name: 'a.chunks', bytes: Buffer.from('a list'), mediaType: chunkListType },
      { name: 'a', bytes: Buffer.from('a') },
      { bytes: Buffer.from('{}'), mediaType: 'application/vnd.oci.empty.v1+json' },
    ]);
    const { code, stderr } = await runCommandHere(node, ['pull', reference]);
    assert.equal(code, 0, stderr);
    const { stdout } = await runCommandHere(node, ['inspect', reference, '-o', 'json']);
    const { layers } = JSON.parse(stdout) as { layers: readonly Record<string, unknown>[] };
    assert.deepEqual(
      layers.map(({ name, form, held }) => [name, form, held]),
      [
        ['', 'chunks', false],
        ['a', 'file', true],
        ['', 'empty', false],
      ],
    );
    const { stdout: shown } = await runCommandHere(node, ['inspect', reference]);
    assert.match(shown, /6 B +chunks +- +- +application\/vnd\.oci-artifact-csi\.chunks\.v1/);
  });

  test(`by ${through}, every command accepts a digest prefix`, needs('root'), async () => {
    await using stack = new AsyncDisposableStack();
    if (through === 'a daemon') stack.use(await startDaemon(node));
    const repository = `starts/${through.split(' ').at(-1)}`;
    const push = (name: string) =>
      registry.push(`${repository}/${name}`, 'v1', [
        { name: 'a', bytes: Buffer.from(`bytes of ${through}`) },
      ]);
    const [{ reference, digest }, other] = [await push('one'), await push('two')];
    assert.equal(digest, other.digest);
    const json = async (...argv: readonly string[]): Promise<unknown> => {
      const { code, stdout, stderr } = await runCommandHere(node, [...argv, '-o', 'json']);
      assert.deepEqual([code, stderr], [0, ''], argv.join(' '));
      return JSON.parse(stdout) as unknown;
    };
    await json('pull', reference);
    const byDigest = `${reference.slice(0, -':v1'.length)}@${digest}`;
    const target = join(node.path, 'by-start');
    for (const start of [digest.slice(0, 'sha256:'.length + 4), digest.slice(7, 7 + 12), digest]) {
      assert.partialDeepStrictEqual(await json('inspect', start), { reference, digest });
      assert.deepEqual(await json('pin', start), { reference: start, digest });
      await json('unpin', start);
      assert.partialDeepStrictEqual(await json('pull', start), { reference: byDigest, digest });
      assert.partialDeepStrictEqual(await json('resolve', start), {
        reference: byDigest,
        descriptor: { digest },
      });
      for (const _ of [1, 2])
        assert.partialDeepStrictEqual(await json('mount', start, target), { resolved: byDigest, digest });
      await json('unmount', target);
      await json('rm', byDigest);
    }
    const few = digest.slice(7, 11);
    assert.partialDeepStrictEqual(await json('inspect', few), { reference, digest });
    await json('pin', few);
    await json('unpin', few);
    {
      const conf = await readFile(node.registriesConf, 'utf8');
      await writeFile(node.registriesConf, conf.replace(/^unqualified.*/, ''));
      await using _ = { [Symbol.asyncDispose]: () => writeFile(node.registriesConf, conf) };
      const absent = few === '0000' ? '1111' : '0000';
      await until('the file is read again', async () =>
        / is a short name/.test((await runCommandHere(node, ['inspect', absent])).stderr),
      );
      assert.partialDeepStrictEqual(await json('inspect', few), { reference, digest });
      await json('pin', few);
      await json('unpin', few);
      await json('rm', few);
      await json('pull', reference);
    }
    for (const argv of [['inspect'], ['pull'], ['resolve'], ['mount', target], ['rm'], ['pin'], ['unpin']]) {
      const [command = '', ...rest] = argv;
      const { code, stderr } = await runCommandHere(node, [command, 'sha256:0000', ...rest]);
      assert.equal(code, 3, `${command}: ${stderr}`);
      assert.match(stderr, /sha256:0000 is not (?:in this node's cache|pinned)/);
    }
    await json('pull', other.reference);
    for (const [asked, others] of [
      [reference, [other.reference]],
      [other.reference, [reference]],
      [byDigest, [reference, other.reference]],
      [other.reference.slice(0, -':v1'.length).concat(`@${digest}`), [reference, other.reference]],
    ] as const) {
      const found = (await json('inspect', asked)) as { reference: string; otherNames: readonly string[] };
      assert.deepEqual([found.reference, found.otherNames], [asked, others]);
    }
    const foreign = `${registry.host}/never/pulled@${digest}`;
    assert.equal((await runCommandHere(node, ['inspect', foreign])).code, 3, 'it is in no such repository');
    const both = await runCommandHere(node, ['rm', digest.slice(0, 19)]);
    assert.equal(both.code, 2, both.stderr);
  });

  test(`by ${through}, errors name the flag that gave a credential`, needs('root'), async () => {
    await using stack = new AsyncDisposableStack();
    const guard = { kind: 'basic', username: 'alice', password: 'S3CRET' } as const;
    const locked = stack.use(await openFaultyRegistry({ guard }));
    const { reference } = await locked.push('team/model', 'v1', [{ name: 'a', bytes: Buffer.from('a') }]);
    const own = stack.use(await testNode([locked.host]));
    if (through === 'a daemon') stack.use(await startDaemon(own));
    const auths = { [locked.host]: { auth: Buffer.from('alice:S3CRET guess').toString('base64') } };
    const authFile = join(own.path, 'auth.json');
    await writeFile(authFile, JSON.stringify({ auths }));
    const login = ['--username', 'alice', '--password-stdin'];
    for (const command of ['pull', 'resolve']) {
      for (const [flags, stdin, said] of [
        [
          [],
          '',
          /needs a credential.*; give a credential with --username and --password-stdin, or with --auth-file$/,
        ],
        [login, 'S3CRET guess\n', /the credential of --username and --password-stdin is not accepted/],
        [['--auth-file', authFile], '', /the credential of --auth-file \(127\.0\.0\.1:\d+\) is not accepted/],
      ] as const) {
        const { code, stderr } = await runCommandHere(own, [command, reference, ...flags], { stdin });
        assert.equal(code, 4, stderr);
        assert.match(stderr.trimEnd(), said);
        assert.doesNotMatch(stderr, /nodePublishSecretRef|S3CRET/);
      }
      assert.equal((await runCommandHere(own, [command, reference, ...login], { stdin: 'S3CRET' })).code, 0);
    }
    const explained = await runCommandHere(own, ['inspect', '--credentials', reference]);
    assert.match(explained.stdout, /^  1\. the command line: neither --username nor --auth-file$/m);
  });
}

test(
  '--plain-http and --insecure apply to their own registry and purpose only, without a daemon',
  needs('root'),
  async () => {
    await using stack = new AsyncDisposableStack();
    const plain = stack.use(await openFaultyRegistry());
    const secure = stack.use(await openFaultyRegistry({ tls: makeCertificate() }));
    const own = stack.use(await testNode());
    const push = async (to: FaultyRegistry) =>
      (await to.push('team/model', 'v1', [{ name: 'a', bytes: Buffer.alloc(200_000, 1) }])).reference;
    const [byHttp, byTls] = [await push(plain), await push(secure)];
    for (const [reference, right, wrong] of [
      [byHttp, '--plain-http', '--insecure'],
      [byTls, '--insecure', '--plain-http'],
    ] as const) {
      for (const flags of [[], [wrong]]) {
        const refused = await runCommandHere(own, ['resolve', reference, ...flags]);
        assert.equal(refused.code, 8, `${reference} ${flags.join(' ')}: ${refused.stderr}`);
        // Plain HTTP to a server that speaks TLS is cut off, which says nothing of the reason.
        if (flags[0] !== '--plain-http')
          assert.match(
            refused.stderr,
            new RegExp(
              `the registry insecure in registries.conf, or .*, or give this command ${right}$`,
              'm',
            ),
          );
      }
      for (const command of ['resolve', 'pull'])
        assert.equal((await runCommandHere(own, [command, reference, right])).code, 0, command);
      const target = join(own.path, 'shown');
      assert.equal((await runCommandHere(own, ['mount', reference, target, right])).code, 0);
      assert.equal((await runCommandHere(own, ['unmount', target])).code, 0);
    }
    for (const [argv, why] of [
      [['resolve', 'model:1', '--plain-http'], /--plain-http is for one registry, and model:1 names none/],
      [['pull', byHttp, '--plain-http', '--insecure'], /: --plain-http cannot be used with --insecure; see /],
    ] as const) {
      const { code, stderr } = await runCommandHere(own, argv);
      assert.equal(code, 2);
      assert.match(stderr, why);
    }
    stack.use(await startDaemon(own));
    const through = await runCommandHere(own, ['resolve', byHttp]);
    assert.match(through.stderr, /the registry insecure in registries\.conf, or .* hosts\.toml$/m);
    for (const command of ['resolve', 'pull']) {
      const { code, stderr } = await runCommandHere(own, [command, byHttp, '--plain-http']);
      assert.equal(code, 5, stderr);
      const [, stanza = ''] =
        /; put (.*) into a \*\.conf file of its --registries-conf-dir, or, if a hosts\.toml configures that registry, http:\/\/ before its host there; or give --state-dir/.exec(
          stderr,
        ) ?? [];
      assert.equal(stanza, `registry = [{ location = "${plain.host}", insecure = true }]`);
    }
    const stanza = `registry = [{ location = "${plain.host}", insecure = true }]`;
    await writeFile(join(own.registriesConfDir, 'local.conf'), stanza);
    await sleep(1_100); // the daemon looks once a second
    assert.equal((await runCommandHere(own, ['resolve', byHttp])).code, 0, 'what it says to write is right');
  },
);

test('a plain HTTP registry cannot redirect a credential elsewhere', needs('root'), async () => {
  await using stack = new AsyncDisposableStack();
  const thief = stack.use(await openFaultyRegistry());
  const realm = `http://localhost:${thief.host.split(':')[1]}/token`;
  const guard = { kind: 'bearer', username: 'alice', password: 'S3CRET', realm } as const;
  const locked = stack.use(await openFaultyRegistry({ guard }));
  const own = stack.use(await testNode());
  const { reference } = await locked.push('team/model', 'v1', [{ name: 'a', bytes: Buffer.from('a') }]);
  const login = ['--plain-http', '--username', 'alice', '--password-stdin'];
  const { code, stderr } = await runCommandHere(own, ['resolve', reference, ...login], { stdin: 'S3CRET' });
  assert.equal(code, 5, stderr);
  assert.match(
    stderr,
    /names localhost:\d+ as its token server, and not by https, so no credential is sent there/,
  );
  assert.deepEqual(thief.asked, []);
});

test('an error of resolve names its reference, as those of pull and mount do', needs('root'), async () => {
  await using strict = await testNode([]);
  for (const argv of [['resolve'], ['pull'], ['mount', join(strict.path, 'shown')]]) {
    const [command = '', ...rest] = argv;
    const { stderr } = await runCommandHere(strict, [command, `${registry.host}/m:v1`, ...rest]);
    assert.match(
      stderr,
      new RegExp(
        `^oci-artifact-csi: ${registry.host}/m:v1: ${registry.host} does not speak TLS correctly`,
        'm',
      ),
    );
  }
});
