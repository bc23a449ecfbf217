import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  claimOf,
  makeSigner,
  openTestLog,
  openTestSource,
  signBundle,
  signSimple,
  signSimpleInLog,
  type TestSource,
} from '../../test/support/signing.ts';
import { type TemporaryFolder, temporaryFolder } from '../../test/support/temporary.ts';
import { parseDigest } from '../oci/digest.ts';
import type { Reference } from '../oci/reference.ts';
import { openTrust, type TrustOptions } from './trust.ts';
import type { Verdict } from './verdict.ts';

const signal = new AbortController().signal;
const digest = parseDigest(`sha256:${'1'.repeat(64)}`);
const other = parseDigest(`sha256:${'2'.repeat(64)}`);
const sigTag = `sha256-${'1'.repeat(64)}.sig`;
const name = 'quay.io/acme/model';
const reference: Reference = { registry: 'quay.io', path: 'acme/model', tag: '1' };
const signer = makeSigner();
const stranger = makeSigner();
const log = openTestLog();

let folder: TemporaryFolder;
before(async () => {
  folder = await temporaryFolder();
});
after(() => folder[Symbol.asyncDispose]());

const keyData = (pem: string) => Buffer.from(pem).toString('base64');
const signedBy = (fields: object) => ({ type: 'sigstoreSigned', ...fields });
const byKey = signedBy({
  keyData: keyData(signer.pem),
  signedIdentity: { type: 'matchRepository' },
});

let files = 0;
async function trustBy(requirements: readonly object[], options: TrustOptions = {}) {
  files += 1;
  const policyFile = join(folder.path, `policy-${files}.json`);
  await writeFile(policyFile, JSON.stringify({ default: requirements }));
  return { policyFile, trust: await openTrust({ policyFile, ...options }) };
}

/** The verdict under one requirement. */
async function verdict(
  requirement: object,
  source: TestSource,
  options: TrustOptions = {},
): Promise<Verdict> {
  const { trust } = await trustBy([requirement], options);
  return await trust.verify(reference, digest, source, signal);
}

function assertAccepted(verdict: Verdict, by: RegExp): void {
  assert.equal(verdict.kind, 'accepted', JSON.stringify(verdict));
  assert.match(verdict.kind === 'accepted' ? verdict.by : '', by);
}

function assertRefused(verdict: Verdict, why: RegExp): void {
  assert.equal(verdict.kind, 'refused', JSON.stringify(verdict));
  const text = verdict.kind === 'refused' ? verdict.why : '';
  assert.match(text, why);
  assert.match(text, /quay\.io\/acme\/model:1 \(sha256:1+\) is refused.* \/.*policy-\d+\.json: /);
}

test('without a policy file everything is accepted and nothing is asked', async () => {
  const source = openTestSource();
  const trust = await openTrust({});
  assertAccepted(await trust.verify(reference, digest, source, signal), /no policy file/);
  assert.deepEqual(source.asked, []);
  assert.deepEqual(trust.problems(), []);
});

test('insecureAcceptAnything and reject ask for nothing', async () => {
  const source = openTestSource();
  assertAccepted(await verdict({ type: 'insecureAcceptAnything' }, source), /default of .* accepts anything/);
  assertRefused(await verdict({ type: 'reject' }, source), /by default\[0\] of .*: it rejects all/);
  assert.deepEqual(source.asked, []);
});

describe('a signature in the .sig tag', () => {
  for (const kind of ['ec', 'rsa', 'ed25519'] as const) {
    test(`by an ${kind} key is accepted`, async () => {
      const signer = makeSigner(kind);
      const source = openTestSource();
      source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
      const requirement = { ...byKey, keyData: keyData(signer.pem) };
      assertAccepted(
        await verdict(requirement, source),
        new RegExp(`${sigTag}, made by default\\[0\\]\\.keyData`),
      );
      assert.deepEqual(source.asked, [`tag ${sigTag}`, 'blob']);
    });
  }

  test('is found among others, and by any of the keys', async () => {
    const source = openTestSource();
    source.putSimple(digest, [
      signSimple(claimOf(name, digest), stranger),
      { payload: '{', annotations: { 'dev.cosignproject.cosign/signature': '!' } },
      signSimple(claimOf(name, digest), signer),
    ]);
    const keyDatas = [keyData(makeSigner().pem), keyData(signer.pem)];
    const requirement = { ...byKey, keyData: undefined, keyDatas };
    assertAccepted(await verdict(requirement, source), /keyDatas\[1\]$/);
  });

  test('is accepted by its exact name where the rule wants that', async () => {
    const source = openTestSource();
    source.putSimple(digest, [signSimple(claimOf(`${name}:1`, digest), signer)]);
    assertAccepted(await verdict(signedBy({ keyData: keyData(signer.pem) }), source), /keyData$/);
  });

  const refused: readonly [what: string, layer: () => ReturnType<typeof signSimple>, why: RegExp][] = [
    [
      'of another key',
      () => signSimple(claimOf(name, digest), stranger),
      /no key that is trusted verifies it \(default\[0\]\.keyData\): another key made it, or it was altered/,
    ],
    [
      'with an altered payload',
      () => ({
        ...signSimple(claimOf(name, other), signer),
        payload: claimOf(name, digest),
      }),
      /no key that is trusted verifies it/,
    ],
    [
      'of another digest',
      () => signSimple(claimOf(name, other), signer),
      /it signs another digest, "sha256:2+"; sign sha256:1+ itself/,
    ],
    [
      'for another repository',
      () => signSimple(claimOf('quay.io/acme/other', digest), signer),
      /it was made for another repository, quay\.io\/acme\/other, and matchRepository wants quay\.io\/acme\/model/,
    ],
    [
      'without its annotation',
      () => ({ payload: claimOf(name, digest), annotations: {} }),
      /it has no annotation dev\.cosignproject\.cosign\/signature/,
    ],
    [
      'of something that is no claim',
      () => signSimple('{"critical": {}}', signer),
      /what it signs is not cosign's claim/,
    ],
    [
      'of a claim with a critical field more',
      () => signSimple(claimOf(name, digest).replace('"type"', '"expires": "x", "type"'), signer),
      /the payload\.critical\.expires is not known here/,
    ],
    [
      'of a claim with a key twice',
      () => signSimple(claimOf(name, digest).replace('{"critical"', '{"optional": null, "critical"'), signer),
      /a key for the second time/,
    ],
    [
      'of a claim of another type',
      () => signSimple(claimOf(name, digest).replace('cosign container', 'atomic container'), signer),
      /not cosign's claim/,
    ],
  ];
  for (const [what, layer, why] of refused) {
    test(`${what} is refused`, async () => {
      const source = openTestSource();
      source.putSimple(digest, [layer()]);
      const answer = await verdict(byKey, source);
      assertRefused(answer, why);
      assert.match(
        answer.kind === 'refused' ? answer.why : '',
        new RegExp(`the signature in tag ${sigTag}: `),
      );
    });
  }

  test('of a repository without a tag is refused by the default rule, and says matchRepository', async () => {
    const source = openTestSource();
    source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
    assertRefused(
      await verdict(signedBy({ keyData: keyData(signer.pem) }), source),
      /without a tag, as cosign does by default, .*set signedIdentity matchRepository .* at default\[0\]/,
    );
  });

  test('that is no manifest, or an index, is refused', async () => {
    for (const bytes of ['<html>', '{"schemaVersion": 2, "manifests": []}']) {
      const source = openTestSource();
      source.putTag(sigTag, '', Buffer.from(bytes));
      assertRefused(await verdict(byKey, source), /the signature in tag .*(not JSON|an index)/i);
    }
  });
});

test('no signature at all has a text of its own', async () => {
  assertRefused(
    await verdict(byKey, openTestSource()),
    /by default\[0\] of .*: it is not signed: there is no tag sha256-1+\.sig, and no sigstore bundle refers to it; sign it with cosign/,
  );
});

describe('a sigstore bundle that refers to the digest', () => {
  const enough = { bundleIdentity: 'digest' } as const;

  for (const hasReferrers of [true, false]) {
    test(`is accepted where the digest is enough, found by ${hasReferrers ? 'the API' : 'its tag'}`, async () => {
      const source = openTestSource();
      source.hasReferrers = hasReferrers;
      source.putBundle(digest, signBundle(digest, stranger));
      source.putBundle(digest, signBundle(digest, signer));
      assertAccepted(
        await verdict(byKey, source, enough),
        /the bundle sha256:\w+, made by default\[0\]\.keyData/,
      );
    });
  }

  test('is refused, unread, where a signedIdentity must be met, as every policy wants without the option', async () => {
    const source = openTestSource();
    source.putBundle(digest, signBundle(digest, signer));
    assertRefused(await verdict(byKey, source), /signs a digest and no name.*--bundle-identity=digest/);
    assert.deepEqual(source.asked, [`tag ${sigTag}`, 'referrers']);
  });

  const altered = (change: (bundle: string) => string) => change(signBundle(digest, signer));
  const refused: readonly [what: string, bundle: () => string, why: RegExp][] = [
    [
      'of another key',
      () => signBundle(digest, stranger),
      /it was made by another key than those that are trusted \(default\[0\]\.keyData\)/,
    ],
    [
      'whose statement was altered',
      () =>
        altered(bundle => {
          const [payload] = /(?<="payload":")[^"]+/.exec(signBundle(other, signer)) ?? [''];
          return bundle.replace(/(?<="payload":")[^"]+/, payload);
        }),
      /it says that default\[0\]\.keyData made it, and that key does not verify it: the bundle was altered/,
    ],
    [
      'of another digest',
      () => signBundle(other, signer),
      /it signs another digest, "2+"; sign sha256:1+ itself/,
    ],
    [
      'that is an attestation',
      () => signBundle(digest, signer, { predicateType: 'https://slsa.dev/provenance/v1' }),
      /it is an attestation \("https:\/\/slsa\.dev\/provenance\/v1"\) and no signature/,
    ],
    ['that is no JSON', () => 'x', /it is not JSON/],
    ['that is another object', () => '{}', /the bundle cannot be used/],
    [
      'that signs no statement',
      () =>
        JSON.stringify({
          ...JSON.parse(signBundle(digest, signer)),
          dsseEnvelope: undefined,
          messageSignature: {
            messageDigest: { algorithm: 'SHA2_256', digest: 'AAAA' },
            signature: 'AAAA',
          },
        }),
      /signs no statement/,
    ],
    [
      'of another kind of statement',
      () => altered(bundle => bundle.replace('application/vnd.in-toto+json', 'text/plain')),
      /signs "text\/plain" and not application\/vnd\.in-toto\+json/,
    ],
  ];
  for (const [what, bundle, why] of refused) {
    test(`${what} is refused`, async () => {
      const source = openTestSource();
      source.putBundle(digest, bundle());
      assertRefused(await verdict(byKey, source, enough), why);
    });
  }

  test('is not fetched if its descriptor says that it is an attestation', async () => {
    const source = openTestSource();
    source.putBundle(digest, signBundle(digest, signer, { predicateType: 'x' }), {
      'dev.sigstore.bundle.predicateType': 'x',
    });
    assertRefused(await verdict(byKey, source, enough), /it is not signed/);
    assert.deepEqual(source.asked, [`tag ${sigTag}`, 'referrers']);
  });

  test('is not asked for where the .sig tag does', async () => {
    const source = openTestSource();
    source.putBundle(digest, signBundle(digest, signer));
    source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
    assertAccepted(await verdict(byKey, source, enough), /the signature in tag/);
    assert.deepEqual(source.asked, [`tag ${sigTag}`, 'blob']);
  });

  test('of a digest of sha512 is found under the shortened tag', async () => {
    const long = parseDigest(`sha512:${'3'.repeat(128)}`);
    const source = openTestSource();
    source.hasReferrers = false;
    const { trust } = await trustBy([byKey], enough);
    await trust.verify(reference, long, source, signal);
    assert.deepEqual(source.asked, [
      `tag sha512-${'3'.repeat(128)}.sig`,
      'referrers',
      `tag sha512-${'3'.repeat(64)}`,
    ]);
    source.putBundle(long, signBundle(long, signer));
    source.hasReferrers = true;
    assertAccepted(await trust.verify(reference, long, source, signal), /the bundle/);
  });
});

describe('a key, with a log that must have recorded the signature', () => {
  const recorded = { ...byKey, rekorPublicKeyData: keyData(log.pem) };
  const time = new Date('2020-01-01');
  const both: readonly [
    form: string,
    put: (source: TestSource, log?: ReturnType<typeof openTestLog>) => void,
  ][] = [
    [
      'the .sig tag',
      (source, log) => {
        const claim = claimOf(name, digest);
        source.putSimple(digest, [
          log ? signSimpleInLog(claim, signer, log, time) : signSimple(claim, signer),
        ]);
      },
    ],
    [
      'a bundle',
      (source, log) => source.putBundle(digest, signBundle(digest, signer, log ? { log, time } : {})),
    ],
  ];
  const enough = { bundleIdentity: 'digest' } as const;
  for (const [form, put] of both) {
    test(`${form} is accepted if the log did`, async () => {
      const source = openTestSource();
      put(source, log);
      assertAccepted(await verdict(recorded, source, enough), /keyData$/);
    });
    test(`${form} is refused if no log did`, async () => {
      const source = openTestSource();
      put(source);
      assertRefused(
        await verdict(recorded, source, enough),
        /no proof that a log recorded it, which default\[0\] wants by its rekorPublicKey/,
      );
    });
    test(`${form} is refused if another log did`, async () => {
      const source = openTestSource();
      put(source, openTestLog());
      assertRefused(
        await verdict(recorded, source, enough),
        /no log whose rekorPublicKey default\[0\] has proves that it recorded it/,
      );
    });
    test(`${form} needs no log, whatever it has, where none is named`, async () => {
      const source = openTestSource();
      put(source, openTestLog());
      assertAccepted(await verdict(byKey, source, enough), /keyData$/);
    });
  }

  test('an entry of another signature, or of another signer, is refused', async () => {
    const claim = claimOf(name, digest);
    const own = signSimple(claim, signer);
    const entries = [
      signSimpleInLog(`${claim} `, signer, log, time),
      signSimpleInLog(claim, stranger, log, time),
    ].map(layer => ({
      payload: claim,
      annotations: {
        ...own.annotations,
        'dev.sigstore.cosign/bundle': layer.annotations['dev.sigstore.cosign/bundle'] ?? '',
      },
    }));
    for (const layer of entries) {
      const source = openTestSource();
      source.putSimple(digest, [layer]);
      assertRefused(await verdict(recorded, source), /it was altered: its log entry is of something else/);
    }
  });

  test('an entry that names another signer for this very signature is refused', async () => {
    const claim = claimOf(name, digest);
    const own = signSimple(claim, signer);
    const content = own.annotations['dev.cosignproject.cosign/signature'] ?? '';
    const spec = {
      data: { hash: { algorithm: 'sha256', value: hash('sha256', claim) } },
      signature: { content, publicKey: { content: Buffer.from(stranger.pem).toString('base64') } },
    };
    const entry = log.record({ apiVersion: '0.0.1', kind: 'hashedrekord', spec }, time);
    const source = openTestSource();
    source.putSimple(digest, [
      { payload: claim, annotations: { ...own.annotations, 'dev.sigstore.cosign/bundle': entry.annotation } },
    ]);
    assertRefused(
      await verdict(recorded, source),
      /its log entry is of another signer than default\[0\]\.keyData/,
    );
  });

  test('an altered promise of the log is refused', async () => {
    const layer = signSimpleInLog(claimOf(name, digest), signer, log, time);
    const bundle = layer.annotations['dev.sigstore.cosign/bundle'] ?? '';
    for (const changed of [
      bundle.replace('"logIndex":7', '"logIndex":8'),
      bundle.replace(/Payload/, 'payload'),
    ]) {
      const source = openTestSource();
      const annotations = { ...layer.annotations, 'dev.sigstore.cosign/bundle': changed };
      source.putSimple(digest, [{ ...layer, annotations }]);
      assertRefused(await verdict(recorded, source), /proves that it recorded it|is not known here/);
    }
  });
});

describe('several requirements', () => {
  const second = { ...byKey, keyData: keyData(stranger.pem) };

  test('must all hold, each by a signature of its own', async () => {
    const { trust } = await trustBy([{ type: 'insecureAcceptAnything' }, byKey, second]);
    const source = openTestSource();
    source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
    assertRefused(await trust.verify(reference, digest, source, signal), /by default\[2\] of/);
    source.putSimple(digest, [
      signSimple(claimOf(name, digest), signer),
      signSimple(claimOf(name, digest), stranger),
    ]);
    assertAccepted(
      await trust.verify(reference, digest, source, signal),
      /made by default\[1\]\.keyData; .* made by default\[2\]\.keyData/,
    );
  });

  test('one that rejects, or that this driver does not know, is enough to refuse', async () => {
    for (const more of [{ type: 'reject' }, { type: 'signedBy', keyType: 'GPGKeys', keyPath: '/k' }]) {
      const { trust } = await trustBy([byKey, more]);
      const source = openTestSource();
      source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
      assertRefused(await trust.verify(reference, digest, source, signal), /by default\[1\] of/);
      assert.deepEqual(source.asked, []);
    }
  });
});

describe('limits', () => {
  test('of signatures, 64 are looked at', async () => {
    const wrong = signSimple(claimOf(name, digest), stranger);
    const right = signSimple(claimOf(name, digest), signer);
    const source = openTestSource();
    source.putSimple(digest, [...Array.from({ length: 64 }, () => wrong), right]);
    assertRefused(
      await verdict(byKey, source),
      /no key that is trusted verifies it.*; only 64 signatures were looked at$/,
    );
    source.putSimple(digest, [...Array.from({ length: 63 }, () => wrong), right]);
    assertAccepted(await verdict(byKey, source), /keyData$/);
  });

  test('of the reasons, three are told', async () => {
    const source = openTestSource();
    source.putSimple(
      digest,
      Array.from({ length: 5 }, (_, index) => signSimple(claimOf(`quay.io/other/${index}`, digest), signer)),
    );
    assertRefused(await verdict(byKey, source), /other\/0.*other\/1.*other\/2.*; and 2 more$/);
  });

  test('a document of more than 4 MiB is not fetched', async () => {
    const source = openTestSource();
    source.putSimple(digest, [
      { payload: claimOf(name, digest).padEnd(4 * 1024 * 1024 + 1), annotations: {} },
    ]);
    assertRefused(await verdict(byKey, source), /it has 4194305 bytes; 4 MiB are read/);
    assert.deepEqual(source.asked, [`tag ${sigTag}`, 'referrers']);
  });
});

describe('an outage is no verdict', () => {
  for (const fails of ['tag', 'blob', 'referrers', 'manifest'] as const) {
    test(`what ${fails} throws is thrown on`, async () => {
      const outage = new Error('down');
      const source = openTestSource();
      source.putBundle(digest, signBundle(digest, signer));
      source.putSimple(digest, [signSimple(claimOf(name, digest), stranger)]);
      const broken = { ...source, [fails]: () => Promise.reject(outage) };
      const { trust } = await trustBy([byKey], { bundleIdentity: 'digest' });
      await assert.rejects(trust.verify(reference, digest, broken, signal), outage);
      assertAccepted(await trust.verify(reference, digest, source, signal), /the bundle/);
    });
  }
});

describe('verdicts', () => {
  test('an accepted one is kept for its reference and digest; a refused one is not', async () => {
    const { trust } = await trustBy([byKey]);
    const source = openTestSource();
    assertRefused(await trust.verify(reference, digest, source, signal), /it is not signed/);
    source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
    const first = await trust.verify(reference, digest, source, signal);
    assertAccepted(first, /keyData$/);
    source.asked.length = 0;
    assert.equal(await trust.verify(reference, digest, source, signal), first);
    assert.deepEqual(source.asked, []);
    assert.equal((await trust.verify(reference, other, source, signal)).kind, 'refused');
    const elsewhere = { ...reference, path: 'acme/elsewhere' };
    assert.equal((await trust.verify(elsewhere, digest, source, signal)).kind, 'refused');
  });

  test('a changed policy applies at once, whether written in place or renamed over it', async () => {
    const { trust, policyFile } = await trustBy([byKey]);
    const source = openTestSource();
    source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
    assertAccepted(await trust.verify(reference, digest, source, signal), /keyData$/);
    await writeFile(policyFile, JSON.stringify({ default: [{ type: 'reject' }] }));
    assertRefused(await trust.verify(reference, digest, source, signal), /rejects all/);
    await writeFile(`${policyFile}.new`, JSON.stringify({ default: [byKey] }));
    await rename(`${policyFile}.new`, policyFile);
    assertAccepted(await trust.verify(reference, digest, source, signal), /keyData$/);
  });

  test('a policy that is written again with the same contents keeps its verdicts', async () => {
    const { trust, policyFile } = await trustBy([byKey]);
    const source = openTestSource();
    source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
    const first = await trust.verify(reference, digest, source, signal);
    await writeFile(policyFile, JSON.stringify({ default: [byKey] }));
    assert.equal(await trust.verify(reference, digest, source, signal), first);
  });

  test('a changed key file applies at once', async () => {
    const keyPath = join(folder.path, 'cosign.pub');
    await writeFile(keyPath, signer.pem);
    const { trust } = await trustBy([{ ...byKey, keyData: undefined, keyPath }]);
    const source = openTestSource();
    source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
    assertAccepted(await trust.verify(reference, digest, source, signal), /keyPath \(.*cosign\.pub\)$/);
    await writeFile(keyPath, stranger.pem);
    assertRefused(await trust.verify(reference, digest, source, signal), /no key that is trusted/);
    await rm(keyPath);
    assertRefused(
      await trust.verify(reference, digest, source, signal),
      /default\[0\]\.keyPath \(.*cosign\.pub\): it cannot be read \(ENOENT\); is it there, in this container too\?/,
    );
    await writeFile(keyPath, signer.pem);
    assertAccepted(await trust.verify(reference, digest, source, signal), /keyPath/);
  });
});

describe('a policy that cannot be used', () => {
  test('refuses everything while it is broken, also what was accepted before, and says so at once', async () => {
    const { trust, policyFile } = await trustBy([byKey]);
    const source = openTestSource();
    source.putSimple(digest, [signSimple(claimOf(name, digest), signer)]);
    await trust.verify(reference, digest, source, signal);
    assert.deepEqual(trust.problems(), []);
    await writeFile(policyFile, '{"default": [}');
    assertRefused(
      await trust.verify(reference, digest, source, signal),
      /policy cannot be used: .*it is not JSON/,
    );
    assert.match(trust.problems().join(), /policy-\d+\.json: it is not JSON.*every publish is refused$/);
    await rm(policyFile);
    assertRefused(await trust.verify(reference, digest, source, signal), /cannot be read \(ENOENT\)/);
    await writeFile(policyFile, JSON.stringify({ default: [byKey] }));
    assertAccepted(await trust.verify(reference, digest, source, signal), /keyData/);
    assert.deepEqual(trust.problems(), []);
  });

  test('in one scope refuses in that one alone', async () => {
    const { policyFile, trust: nothing } = await trustBy([{ type: 'reject' }]);
    assert.deepEqual(nothing.problems(), []);
    await writeFile(
      policyFile,
      JSON.stringify({
        default: [{ type: 'insecureAcceptAnything' }],
        transports: {
          docker: {
            'quay.io/acme': [{ type: 'signedBy', keyType: 'GPGKeys', keyPath: '/etc/pki/key' }],
            busybox: [{ type: 'reject' }],
          },
        },
      }),
    );
    const trust = await openTrust({ policyFile });
    assert.deepEqual(trust.problems(), [
      `${policyFile}: transports.docker["quay.io/acme"][0].type: this driver does not verify "signedBy"; sign with cosign and write "sigstoreSigned"; what is in its scope is refused`,
      `${policyFile}: transports.docker.busybox: no reference is in this scope; write docker.io/library/busybox in full, or *.example.com`,
    ]);
    assertRefused(
      await trust.verify(reference, digest, openTestSource(), signal),
      /by transports\.docker\["quay\.io\/acme"\]\[0\] of .*does not verify "signedBy"/,
    );
    const elsewhere = { ...reference, registry: 'ghcr.io' };
    assertAccepted(await trust.verify(elsewhere, digest, openTestSource(), signal), /accepts anything/);
  });

  const private_ = '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n';
  const unusable: readonly [what: string, fields: object, why: RegExp][] = [
    ['a private key', { keyData: keyData(private_) }, /keyData must be one public key in PEM/],
    [
      'a key that is none',
      { keyData: keyData(signer.pem.replace(/M[\w+/]{20}/, 'M')) },
      /keyData is no public key/,
    ],
    [
      'one of several keys',
      { keyDatas: [keyData(signer.pem), keyData('x')] },
      /keyDatas\[1\] must be one public/,
    ],
    [
      'a key file that is not there',
      { keyPath: '/absent' },
      /keyPath \(\/absent\): it cannot be read \(ENOENT\)/,
    ],
    [
      'a key of a log that is not ECDSA',
      { keyData: keyData(signer.pem), rekorPublicKeyData: keyData(makeSigner('ed25519').pem) },
      /rekorPublicKeyData is no ECDSA key/,
    ],
  ];
  for (const [what, fields, why] of unusable) {
    test(`for ${what} refuses, and names its field`, async () => {
      const { trust } = await trustBy([signedBy(fields)]);
      assert.match(trust.problems().join(), why);
      assertRefused(await trust.verify(reference, digest, openTestSource(), signal), why);
    });
  }
});
