import { HashAlgorithm, TrustedRoot as TrustedRootDocument } from '@sigstore/protobuf-specs';
import { type TrustMaterial, toTrustMaterial } from '@sigstore/verify';
import { toJsonObject } from '../../../configfile/json.ts';
import { ArtifactError } from '../../../util/error.ts';
import { parseJson } from '../../../util/json.ts';
import type { CertificateAuthority } from './certificate.ts';
import { type Certificate, parseCertificate } from './certificate-form.ts';
import { isIssuedBy, nameOf } from './certificate-path.ts';
import type { Log, Period } from './log-entry.ts';
import type { TimestampAuthority } from './timestamp.ts';

/** A sigstore trusted_root.json: the CAs that issue certificates, and the witnesses of the time of a signature. */
export type TrustedRoot = {
  readonly authorities: readonly CertificateAuthority[];
  readonly logs: readonly Log[];
  readonly timestampAuthorities: readonly TimestampAuthority[];
  /** Logs that record certificates. */
  readonly certificateLogs: TrustMaterial['ctlogs'];
};

const mediaType = 'application/vnd.dev.sigstore.trustedroot+json;version=0.1';

/**
 * Parses the document that `cosign trusted-root create` writes, and that Sigstore's TUF repositories contain.
 *
 * @throws ArtifactError `invalid` with what is wrong.
 */
export function parseTrustedRoot(text: string, label: string): TrustedRoot {
  try {
    const json = parseJson(text, { uniqueKeys: true });
    const type = toJsonObject(json).text('mediaType');
    if (type !== mediaType) throw new ArtifactError('invalid', `mediaType must be ${mediaType}`);
    return read(TrustedRootDocument.fromJSON(json));
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : '';
    throw new ArtifactError('invalid', `${label} is no trusted root: ${why}`, thrown);
  }
}

function read(document: TrustedRootDocument): TrustedRoot {
  const material = toTrustMaterial(document, {});
  return {
    authorities: document.certificateAuthorities.map(toAuthority),
    timestampAuthorities: document.timestampAuthorities.map((written, index) => {
      const authority = toAuthority(written);
      const [leaf, ...intermediates] = authority.intermediates;
      const entry = material.timestampAuthorities[index];
      if (leaf === undefined || entry === undefined) {
        throw new ArtifactError('invalid', 'a timestamp authority has no certificate beside its root');
      }
      return { ...authority, intermediates, leaf, entry };
    }),
    logs: document.tlogs.map(({ baseUrl, hashAlgorithm, logId }, index): Log => {
      const entry = material.tlogs[index];
      if (hashAlgorithm !== HashAlgorithm.SHA2_256 || entry === undefined || logId === undefined) {
        throw new ArtifactError(
          'invalid',
          `the log ${baseUrl} has no logId, or another hashAlgorithm than SHA2_256`,
        );
      }
      const { publicKey: key, validFor: period } = entry;
      const der = key.export({ type: 'spki', format: 'der' });
      const publicKey = { label: `the log ${baseUrl}`, key, der };
      return { publicKey, id: Buffer.from(logId.keyId), baseUrl, period };
    }),
    certificateLogs: material.ctlogs,
  };
}

type WrittenAuthority = TrustedRootDocument['certificateAuthorities'][number];

/** The last certificate of the chain is its root, which must be self-signed. */
function toAuthority({ certChain, validFor }: WrittenAuthority): CertificateAuthority {
  const chain: readonly Certificate[] = (certChain?.certificates ?? []).map(({ rawBytes }) =>
    parseCertificate(rawBytes),
  );
  const root = chain.at(-1);
  if (root === undefined) throw new ArtifactError('invalid', 'an authority has no certificate');
  if (!isIssuedBy(root, root)) {
    throw new ArtifactError(
      'invalid',
      `the chain of ${nameOf(root)} does not end with a CA that signs itself; append its issuer, up to the root`,
    );
  }
  return { roots: [root], intermediates: chain.slice(0, -1), period: toPeriod(validFor) };
}

function toPeriod(
  written: { readonly start?: Date | undefined; readonly end?: Date | undefined } | undefined,
): Period {
  return { start: written?.start ?? new Date(0), end: written?.end ?? new Date(8.64e15) };
}
