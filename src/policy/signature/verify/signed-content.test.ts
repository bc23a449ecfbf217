import { hash } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { openTestLog } from '../../../../test/support/signing/log.ts';
import {
  assertAccepted,
  assertRefused,
  byKey,
  digest,
  enough,
  name,
  openPolicies,
  signer,
  stranger,
  toBase64,
} from '../../../../test/support/signing/policies.ts';
import {
  claimOf,
  openTestSource,
  signBundle,
  signSimple,
  signSimpleInLog,
  type TestSource,
} from '../../../../test/support/signing/signing.ts';

const policies = openPolicies();
after(() => policies[Symbol.asyncDispose]());
const log = openTestLog();

describe('a key, with a log that must have recorded the signature', () => {
  const recorded = { ...byKey, rekorPublicKeyData: toBase64(log.pem) };
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
  for (const [form, put] of both) {
    test(`${form} is accepted if the log did`, async () => {
      const source = openTestSource();
      put(source, log);
      assertAccepted(await policies.verdict(recorded, source, enough), /keyData$/);
    });
    test(`${form} is refused if no log did`, async () => {
      const source = openTestSource();
      put(source);
      assertRefused(
        await policies.verdict(recorded, source, enough),
        /no proof that a log recorded it, which default\[0\] wants by its rekorPublicKey/,
      );
    });
    test(`${form} is refused if another log did`, async () => {
      const source = openTestSource();
      put(source, openTestLog());
      assertRefused(
        await policies.verdict(recorded, source, enough),
        /no proof that one of the logs that are trusted recorded it, which default\[0\] wants/,
      );
    });
    test(`${form} needs no log, whatever it has, if the policy names none`, async () => {
      const source = openTestSource();
      put(source, openTestLog());
      assertAccepted(await policies.verdict(byKey, source, enough), /keyData$/);
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
      assertRefused(
        await policies.verdict(recorded, source),
        /it was altered: its log entry is of something else/,
      );
    }
  });

  test('an entry that names another signer for this signature is refused', async () => {
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
      await policies.verdict(recorded, source),
      /its log entry is of another signer than default\[0\]\.keyData/,
    );
  });

  test('an entry in a trusted log is enough, whatever other logs report', async () => {
    const bundle = JSON.parse(signBundle(digest, signer, { log, time })) as {
      verificationMaterial: { tlogEntries: object[] };
    };
    bundle.verificationMaterial.tlogEntries.unshift(openTestLog().record({ kind: 'x' }, time).bundled);
    const source = openTestSource();
    source.putBundle(digest, JSON.stringify(bundle));
    assertAccepted(await policies.verdict(recorded, source, enough), /keyData$/);
  });

  test('an entry without a signer is refused', async () => {
    const bundle = JSON.parse(signBundle(digest, signer)) as {
      dsseEnvelope: { payload: string; signatures: [{ sig: string }] };
      verificationMaterial: object;
    };
    const payload = Buffer.from(bundle.dsseEnvelope.payload, 'base64');
    const prefix = `DSSEv1 28 application/vnd.in-toto+json ${payload.length} `;
    const signed = hash('sha256', Buffer.concat([Buffer.from(prefix), payload]), 'base64');
    const hashedRekordV002 = {
      data: { algorithm: 'SHA2_256', digest: signed },
      signature: { content: bundle.dsseEnvelope.signatures[0].sig },
    };
    const entry = log.record({ apiVersion: '0.0.2', kind: 'hashedrekord', spec: { hashedRekordV002 } }, time);
    const tlogEntries = [{ ...entry.bundled, logIndex: '0', inclusionPromise: undefined }];
    const verificationMaterial = { ...bundle.verificationMaterial, tlogEntries };
    const source = openTestSource();
    source.putBundle(digest, JSON.stringify({ ...bundle, verificationMaterial }));
    assertRefused(
      await policies.verdict(recorded, source, enough),
      /its log entry is a hashedrekord 0\.0\.2; hashedrekord 0\.0\.1 and 0\.0\.2 and dsse 0\.0\.1 can be read/,
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
      assertRefused(
        await policies.verdict(recorded, source),
        /did not promise or prove to have recorded this|is an unknown field/,
      );
    }
  });
});
