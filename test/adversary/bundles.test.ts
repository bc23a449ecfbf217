import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Digest, parseDigest } from '../../src/oci/digest.ts';
import { openPolicyFile } from '../../src/policy/signature/policy-file.ts';
import { parseBundle, verifyStatement } from '../../src/policy/signature/verify/bundle.ts';
import { parseCertificate } from '../../src/policy/signature/verify/certificate-form.ts';
import { codeSigning, findFlaw } from '../../src/policy/signature/verify/certificate-path.ts';
import { verifySigned } from '../../src/policy/signature/verify/signed-content.ts';
import { verifyTimestamp } from '../../src/policy/signature/verify/timestamp.ts';
import { parseTrustedRoot } from '../../src/policy/signature/verify/trusted-root.ts';
import { ArtifactError } from '../../src/util/error.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import {
  identity,
  makeBundle,
  oidcIssuer,
  openSigstore,
  trustedRootOf,
} from '../support/signing/sigstore.ts';
import { type Issued, makePair } from '../support/signing/x509.ts';

/** What comes from a registry is changed in any way: it is refused with a reason, and soon. */

const digest: Digest = parseDigest(`sha256:${'1'.repeat(64)}`);
const sigstore = openSigstore();
const root = parseTrustedRoot(trustedRootOf(sigstore), 'root');
const bundles = (['first', 'second'] as const).map(log => makeBundle(sigstore, digest, { log }));

await using directory = await temporaryDirectory();
const policyFile = join(directory.path, 'policy.json');
const trustedRootPath = join(directory.path, 'root.json');
await writeFile(trustedRootPath, trustedRootOf(sigstore));
const fulcio = { oidcIssuer, subjectEmail: identity };
await writeFile(
  policyFile,
  JSON.stringify({ default: [{ type: 'sigstoreSigned', trustedRootPath, fulcio }] }),
);
const state = openPolicyFile(policyFile, false, () => {})();
const [requirement] = state.kind === 'loaded' ? state.policy.fallback.requirements : [];

/** Whether it is accepted. Anything thrown but the project's errors is thrown on. */
function accepts(verify: () => void): boolean {
  const begun = performance.now();
  try {
    verify();
    return true;
  } catch (thrown) {
    if (thrown instanceof ArtifactError) return false;
    throw thrown;
  } finally {
    assert.ok(performance.now() - begun < 2000);
  }
}

function evaluate(bytes: Uint8Array): void {
  assert.ok(requirement?.kind === 'signed');
  const { content, statement } = parseBundle(bytes);
  verifySigned(content, requirement);
  verifyStatement(statement, digest);
}

/** Some of the bytes changed, left out or doubled. */
const changes = fc.array(
  fc.record({
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    kind: fc.constantFrom('set', 'drop', 'double', 'cut'),
    byte: fc.nat(255),
    length: fc.integer({ min: 1, max: 40 }),
  }),
  { minLength: 1, maxLength: 4 },
);
type Changes = typeof changes extends fc.Arbitrary<infer T> ? T : never;

function change(bytes: Uint8Array, list: Changes): Buffer {
  let changed = Buffer.from(bytes);
  for (const { at, kind, byte, length } of list) {
    const offset = Math.floor(at * changed.length);
    const [before, part, after] = [
      changed.subarray(0, offset),
      changed.subarray(offset, offset + length),
      changed.subarray(offset + length),
    ];
    if (kind === 'set') changed = Buffer.concat([before, Buffer.of(byte), changed.subarray(offset + 1)]);
    if (kind === 'drop') changed = Buffer.concat([before, after]);
    if (kind === 'double') changed = Buffer.concat([before, part, part, after]);
    if (kind === 'cut') changed = Buffer.from(before);
  }
  return changed;
}

/** The values of a document by their paths, objects and lists among them. */
function pathsOf(value: unknown, path: readonly string[] = []): readonly (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([key, item]) => pathsOf(item, [...path, key]))];
}

function replace(value: unknown, [key, ...rest]: readonly string[], by: unknown): unknown {
  if (key === undefined) return by;
  if (typeof value !== 'object' || value === null) return value;
  const copy: Record<string, unknown> = {
    ...value,
    [key]: replace((value as Record<string, unknown>)[key], rest, by),
  };
  return Array.isArray(value) ? Object.values(copy) : copy;
}

describe('a bundle', () => {
  test('without changes is accepted', () => {
    for (const bundle of bundles) evaluate(Buffer.from(bundle));
  });

  test('with changed bytes is refused with a reason, unless the change is insignificant', () => {
    fc.assert(
      fc.property(fc.constantFrom(...bundles), changes, (bundle, list) => {
        accepts(() => evaluate(change(Buffer.from(bundle), list)));
      }),
      { numRuns: 600 },
    );
  });

  test('with a changed value is refused with a reason', () => {
    const values = fc.oneof(
      fc.constantFrom<unknown>(null, {}, [], '', 'AAAA', -1, 1e300, true, '\n\n', '-9', 'x'.repeat(70_000), [
        [],
      ]),
      fc.constantFrom('sha256', '9'.repeat(400), '1e9', '\u2014 a b\n', '\u0000', 'dsse', '0.0.1', '0.0.2'),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...bundles),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        values,
        (bundle, at, by) => {
          const document: unknown = JSON.parse(bundle);
          const paths = pathsOf(document);
          const changed = replace(document, paths[Math.floor(at * paths.length)] ?? [], by);
          accepts(() => evaluate(Buffer.from(JSON.stringify(changed))));
        },
      ),
      { numRuns: 1500 },
    );
  });

  test('with changed bytes in its base64 is refused', () => {
    const fields =
      /(?<="(?:payload|sig|rawBytes|canonicalizedBody|signedTimestamp|signedEntryTimestamp)":")[^"]+/g;
    let accepted = 0;
    fc.assert(
      fc.property(fc.constantFrom(...bundles), fc.nat(5), changes, (bundle, nth, list) => {
        const found = bundle.match(fields) ?? [];
        const field = found[nth % found.length] ?? '';
        const bytes = Buffer.from(field, 'base64');
        const changed = change(bytes, list);
        if (changed.equals(bytes)) return;
        if (accepts(() => evaluate(Buffer.from(bundle.replace(field, changed.toString('base64'))))))
          accepted += 1;
      }),
      { numRuns: 1000 },
    );
    // An entry of Rekor 1 shows the time, so that the timestamp beside it may be anything.
    assert.ok(accepted < 250, `${accepted} accepted`);
  });

  test('with very many entries, timestamps or levels is refused at once', () => {
    const [first = ''] = bundles;
    const document = JSON.parse(first) as { verificationMaterial: Record<string, unknown[]> };
    const { verificationMaterial } = document;
    const [entry] = verificationMaterial['tlogEntries'] ?? [];
    const many = {
      ...document,
      verificationMaterial: { ...verificationMaterial, tlogEntries: Array(1000).fill(entry) },
    };
    assert.equal(
      accepts(() => evaluate(Buffer.from(JSON.stringify(many)))),
      false,
    );
    const deep = first.replace('{', `{"x":${'['.repeat(1_000_000)}${']'.repeat(1_000_000)},`);
    accepts(() => evaluate(Buffer.from(deep)));
    const large = first.replace(/(?<="envelope":")/, '\u2014 a b\\n'.repeat(100_000));
    assert.equal(
      accepts(() => evaluate(Buffer.from(large))),
      false,
    );
  });
});

test('a changed certificate is refused with a reason', () => {
  const [intermediate, top] = sigstore.certificateAuthorities as [Issued, Issued];
  const authorities = { roots: [parseCertificate(top.der)], intermediates: [] };
  fc.assert(
    fc.property(fc.constantFrom(intermediate.der, top.der), changes, (der, list) => {
      const changed = change(der, list);
      const isGood = accepts(() => {
        const flaw = findFlaw(parseCertificate(changed), authorities, new Date(), codeSigning);
        if (flaw !== undefined) throw new ArtifactError('denied', flaw);
      });
      assert.ok(!isGood || changed.equals(der));
    }),
    { numRuns: 1500 },
  );
});

test('a changed timestamp is refused with a reason', () => {
  const { publicKey } = makePair();
  const signature = Buffer.from('a signature');
  const signed = {
    key: publicKey,
    signature: {
      signature,
      compareSignature: () => true,
      compareDigest: () => true,
      compareSignedDigest: () => true,
      verifySignature: () => true,
    },
  };
  const now = new Date();
  const token = sigstore.timestamps.stamp(signature, now);
  const whole = verifyTimestamp(token, signed, root.timestampAuthorities);
  assert.equal(whole.getTime(), Math.floor(now.getTime() / 1000) * 1000);
  fc.assert(
    fc.property(changes, list => {
      let time = whole;
      accepts(() => {
        time = verifyTimestamp(change(token, list), signed, root.timestampAuthorities);
      });
      assert.deepEqual(time, whole);
    }),
    { numRuns: 1500 },
  );
});
