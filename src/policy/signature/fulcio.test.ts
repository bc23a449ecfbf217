import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type TemporaryDirectory, temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { needs } from '../../../test/support/project/tools.ts';
import { email, issuer, makeFulcio, type TestFulcio } from '../../../test/support/signing/fulcio.ts';
import { openTestLog } from '../../../test/support/signing/log.ts';
import { type TestSigner } from '../../../test/support/signing/signer.ts';
import {
  claimOf,
  openTestSource,
  type SimpleLayer,
  signBundle,
  signSimple,
  signSimpleInLog,
  type TestSource,
} from '../../../test/support/signing/signing.ts';
import { parseDigest } from '../../oci/digest.ts';
import { openSignaturePolicy } from './policy.ts';

const signal = new AbortController().signal;
const digest = parseDigest(`sha256:${'1'.repeat(64)}`);
const claim = claimOf('quay.io/acme/model', digest);
const log = openTestLog();
const day = 24 * 3600 * 1000;
/** The time in the log's entries: inside the day for which certificates are made. */
const now = new Date(Date.now() + day / 2);

type Issued = TestSigner & { readonly certificate: string };

describe('certificates of Fulcio', needs('openssl'), () => {
  let directory: TemporaryDirectory;
  let fulcio: TestFulcio;
  let jane: Issued;

  before(async () => {
    directory = await temporaryDirectory();
    fulcio = makeFulcio(join(directory.path, 'fulcio'));
    jane = fulcio.issue(); // leaf1
  });
  after(() => directory[Symbol.asyncDispose]());

  /** The verdict under a policy with this CA, for jane, recorded in the log; `fields` replace its own. */
  async function verdict(source: TestSource, fields: object = {}, ca = fulcio.root + fulcio.intermediate) {
    const policyFile = join(directory.path, 'policy.json');
    const base64 = (pem: string) => Buffer.from(pem).toString('base64');
    const requirement = {
      type: 'sigstoreSigned',
      fulcio: { caData: base64(ca), oidcIssuer: issuer, subjectEmail: email, ...fields },
      rekorPublicKeyData: base64(log.pem),
      signedIdentity: { type: 'matchRepository' },
    };
    await writeFile(policyFile, JSON.stringify({ default: [requirement] }));
    const trust = openSignaturePolicy(policyFile, { digestIsEnough: true });
    const reference = { registry: 'quay.io', path: 'acme/model', tag: '1' };
    const answer = await trust.verify(reference, digest, source, signal);
    return answer.kind === 'accepted' ? `accepted: ${answer.by}` : `refused: ${answer.why}`;
  }

  function inTag(layer: SimpleLayer): TestSource {
    const source = openTestSource();
    source.putSimple(digest, [layer]);
    return source;
  }

  function inBundle(bundle: string): TestSource {
    const source = openTestSource();
    source.putBundle(digest, bundle);
    return source;
  }

  test('are accepted with a signature in the .sig tag, for the right identity at the right time', async () => {
    assert.match(
      await verdict(inTag(signSimpleInLog(claim, jane, log, now))),
      /^accepted: .*made by the certificate of "email:jane@example\.com", by default\[0\]\.fulcio$/,
    );
  });

  test('are accepted with a bundle', async () => {
    assert.match(
      await verdict(inBundle(signBundle(digest, jane, { log, time: now }))),
      /^accepted: the bundle/,
    );
  });

  test('are accepted with an offered intermediate, and from the root itself', async () => {
    const chain = fulcio.intermediate + fulcio.root;
    const layer = signSimpleInLog(claim, jane, log, now, chain);
    assert.match(await verdict(inTag(layer), {}, fulcio.root), /^accepted/);
    const byRoot = signSimpleInLog(claim, fulcio.issue({}, 'root'), log, now);
    assert.match(await verdict(inTag(byRoot), {}, fulcio.root), /^accepted/);
  });

  test('are accepted with the issuer in either extension, and with any of several email addresses', async () => {
    for (const options of [
      { issuerText: undefined },
      { issuerString: undefined },
      { subjectAltName: `email:john@example.com,email:${email}` },
      { extendedKeyUsage: undefined },
    ]) {
      const layer = signSimpleInLog(claim, fulcio.issue(options), log, now);
      assert.match(await verdict(inTag(layer)), /^accepted/, JSON.stringify(options));
    }
  });

  for (const form of ['the .sig tag', 'a bundle'] as const) {
    const signed = (signer: Issued, time = now, to = log) =>
      form === 'a bundle'
        ? inBundle(signBundle(digest, signer, { log: to, time }))
        : inTag(signSimpleInLog(claim, signer, to, time));

    describe(`with a signature in ${form}, are refused`, () => {
      test('when expired, or not yet valid, at the time the log recorded', async () => {
        const expired =
          /^refused: .*its certificate had expired, or was not valid yet: it was good from .* and the log recorded the signature at \d{4}-.*; sign again/;
        assert.match(await verdict(signed(jane, new Date(now.getTime() + 2 * day))), expired);
        assert.match(await verdict(signed(jane, new Date(now.getTime() - day))), expired);
      });

      test('for another email address, or the address in another kind of name', async () => {
        const wanted =
          /its certificate is for ".*", and default\[0\]\.fulcio\.subjectEmail wants jane@example\.com/;
        for (const options of [
          { email: 'eve@example.com' },
          { email: 'jane@example.com.evil.org' },
          { subjectAltName: 'URI:mailto:jane@example.com' },
          { subjectAltName: 'DNS:jane@example.com' },
          { email: 'eve@example.com', subject: `/emailAddress=${email}` },
        ]) {
          assert.match(await verdict(signed(fulcio.issue(options))), wanted, JSON.stringify(options));
        }
      });

      test('of another OpenID issuer, of none, or of two', async () => {
        const evil = 'https://evil.example.com';
        const wanted = /default\[0\]\.fulcio\.oidcIssuer wants https:\/\/accounts\.example\.com/;
        for (const options of [
          { issuerText: evil, issuerString: evil },
          { issuerString: evil },
          { issuerText: evil },
          { issuerText: undefined, issuerString: undefined },
        ]) {
          assert.match(await verdict(signed(fulcio.issue(options))), wanted, JSON.stringify(options));
        }
      });

      test('that are for another purpose than signing code', async () => {
        const server = fulcio.issue({ extendedKeyUsage: 'serverAuth' });
        assert.match(await verdict(signed(server)), /its certificate is not for code signing/);
      });

      test('of another CA with the same names', async () => {
        const impostor = makeFulcio(join(directory.path, `impostor of ${form}`.replaceAll(' ', '-')));
        assert.match(
          await verdict(signed(impostor.issue())),
          /no CA of default\[0\]\.fulcio\.caData vouches for it/,
        );
      });

      test('recorded by another log', async () => {
        assert.match(
          await verdict(signed(jane, now, openTestLog())),
          /no proof that one of the logs that are trusted recorded it/,
        );
      });

      test('in no log', async () => {
        const source =
          form === 'a bundle' ? inBundle(signBundle(digest, jane)) : inTag(signSimple(claim, jane));
        assert.match(await verdict(source), /no proof that a log recorded it/);
      });

      test('with another certificate in place of the signer’s', async () => {
        const eve = fulcio.issue({ email: 'eve@example.com' });
        assert.match(await verdict(signed({ ...eve, certificate: jane.certificate })), /it was altered/);
      });

      test('without a certificate', async () => {
        const { certificate: _, ...key } = jane;
        const source =
          form === 'a bundle'
            ? inBundle(signBundle(digest, key, { log, time: now }))
            : inTag(signSimpleInLog(claim, key, log, now));
        assert.match(await verdict(source), /it has no certificate, which default\[0\]\.fulcio wants/);
      });
    });
  }

  test('are refused with an offered intermediate that nobody signed, or that is not for signing code', async () => {
    const impostor = makeFulcio(join(directory.path, 'impostor'));
    const whole = impostor.intermediate + impostor.root;
    const layer = signSimpleInLog(claim, impostor.issue(), log, now, whole);
    assert.match(await verdict(inTag(layer)), /no CA of default\[0\]\.fulcio\.caData vouches for it/);
    const servers = makeFulcio(join(directory.path, 'servers'), 'serverAuth');
    const other = signSimpleInLog(claim, servers.issue(), log, now, servers.intermediate);
    assert.match(await verdict(inTag(other), {}, servers.root), /vouches for it/);
  });

  test('are refused if their signer acts as a CA', async () => {
    const child = fulcio.issue({}, 'leaf1');
    const layer = signSimpleInLog(claim, child, log, now, jane.certificate);
    assert.match(await verdict(inTag(layer)), /vouches for it/);
    assert.match(
      await verdict(inTag(layer), {}, fulcio.root + fulcio.intermediate + jane.certificate),
      /vouches for it/,
    );
  });

  test('a bundle that proves no time is refused', async () => {
    const bundle = JSON.parse(signBundle(digest, jane, { log, time: now })) as {
      verificationMaterial: { tlogEntries: { inclusionPromise?: object; integratedTime: string }[] };
    };
    for (const entry of bundle.verificationMaterial.tlogEntries) delete entry.inclusionPromise;
    assert.match(await verdict(inBundle(JSON.stringify(bundle))), /promises when it recorded it/);
  });

  test('an altered proof of inclusion is refused, even with the log’s promise', async () => {
    const bundle = signBundle(digest, jane, { log, time: now }).replace(
      '"hashes":[]',
      `"hashes":["${'A'.repeat(43)}="]`,
    );
    assert.match(await verdict(inBundle(bundle)), /did not promise or prove to have recorded this/);
  });

  test('a CA file must include its root', async () => {
    assert.match(
      await verdict(openTestSource(), {}, fulcio.intermediate),
      /default\[0\]\.fulcio\.caData has the certificate of .* and not the one of its issuer, .*; append it, up to the root/,
    );
    const byLeaf =
      fulcio.root + fulcio.intermediate + jane.certificate + fulcio.issue({}, 'leaf1').certificate;
    assert.match(await verdict(openTestSource(), {}, byLeaf), /and not the one of its issuer/);
    assert.match(await verdict(openTestSource(), {}, 'x'), /caData must be certificates in PEM/);
    const broken = fulcio.root.replace(/MII\w{9}/, 'MII');
    assert.match(
      await verdict(openTestSource(), {}, broken),
      /caData has a certificate that cannot be used: a certificate cannot be read/,
    );
  });
});
