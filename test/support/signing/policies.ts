import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Digest, parseDigest } from '../../../src/oci/digest.ts';
import type { Reference } from '../../../src/oci/reference.ts';
import {
  openSignaturePolicy,
  type PolicyTrust,
  type SignaturePolicyOptions,
} from '../../../src/policy/signature/policy.ts';
import type { SignatureSource, Verdict } from '../../../src/ports/trust.ts';
import { makeSigner, type TestSigner } from './signer.ts';

/** The artifact to evaluate, in quay.io/acme/model. */
export const digest: Digest = parseDigest(`sha256:${'1'.repeat(64)}`);
export const other: Digest = parseDigest(`sha256:${'2'.repeat(64)}`);
export const sigTag: string = `sha256-${'1'.repeat(64)}.sig`;
export const name = 'quay.io/acme/model';
export const reference: Reference = { registry: 'quay.io', path: 'acme/model', tag: '1' };

/** The signer that the policy `byKey` trusts, and another one. */
export const signer: TestSigner = makeSigner();
export const stranger: TestSigner = makeSigner();

export const toBase64 = (text: string): string => Buffer.from(text).toString('base64');

/** A requirement of a signature. */
export const signedBy = (fields: object): object => ({ type: 'sigstoreSigned', ...fields });
export const byKey: object = signedBy({
  keyData: toBase64(signer.pem),
  signedIdentity: { type: 'matchRepository' },
});
export const enough: SignaturePolicyOptions = { digestIsEnough: true };

export type Policies = AsyncDisposable & {
  readonly path: string;
  /** By a new file with these requirements as its default. */
  trustBy(
    requirements: readonly object[],
    options?: SignaturePolicyOptions,
  ): Promise<{ readonly policyFile: string; readonly trust: PolicyTrust }>;
  /** The verdict under one requirement. */
  verdict(requirement: object, source: SignatureSource, options?: SignaturePolicyOptions): Promise<Verdict>;
};

/** Policy files in a temporary directory. */
export function openPolicies(): Policies {
  const path = mkdtempSync(join(tmpdir(), 'oci-artifact-csi-'));
  let files = 0;
  const policies: Policies = {
    path,
    async trustBy(requirements, options = {}) {
      files += 1;
      const policyFile = join(path, `policy-${files}.json`);
      await writeFile(policyFile, JSON.stringify({ default: requirements }));
      return { policyFile, trust: openSignaturePolicy(policyFile, options) };
    },
    async verdict(requirement, source, options) {
      const { trust } = await policies.trustBy([requirement], options);
      return await trust.verify(reference, digest, source, new AbortController().signal);
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true }),
  };
  return policies;
}

export function assertAccepted(verdict: Verdict, by: RegExp): void {
  assert.equal(verdict.kind, 'accepted', JSON.stringify(verdict));
  assert.match(verdict.kind === 'accepted' ? verdict.by : '', by);
}

/** Every refusal names reference, digest and file. */
export function assertRefused(verdict: Verdict, why: RegExp): void {
  assert.equal(verdict.kind, 'refused', JSON.stringify(verdict));
  const text = verdict.kind === 'refused' ? verdict.why : '';
  assert.match(text, why);
  assert.match(
    text,
    /quay\.io\/acme\/model:1 \(sha256:1+\) (?:is refused|cannot be mounted).*[ (]\/.*policy-\d+\.json: /,
  );
}
