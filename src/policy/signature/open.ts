import type { Verdict } from '../../ports/trust.ts';
import type { PolicyTrust } from './policy.ts';

export type TrustOptions = {
  /** The path of containers' policy.json; without one, everything is accepted. */
  readonly policyFile?: string;
  /** `digest`: a sigstore bundle is enough, although it names no repository and so meets no signedIdentity. */
  readonly bundleIdentity?: 'digest';
  /** Fields of the policy that containers does not know refuse everything in their scope. */
  readonly strict?: boolean;
  /** Called with each problem of the policy, once, and when a changed policy has none. */
  readonly note?: (text: string) => void;
};

const unasked: Verdict = { kind: 'accepted', by: 'no policy file is configured' };

/**
 * Opens the policy. It is read again when the file, or another file that it names, changes. A policy that cannot be
 * read or parsed refuses everything, so that a broken edit never re-opens access.
 */
export async function openTrust(options: TrustOptions): Promise<PolicyTrust> {
  if (options.policyFile === undefined) {
    return { verify: async () => unasked, problems: () => [], obstacles: () => [] };
  }
  const { openSignaturePolicy: openPolicyTrust } = await import('./policy.ts'); // sigstore's libraries are slow to load
  return openPolicyTrust(options.policyFile, {
    digestIsEnough: options.bundleIdentity === 'digest',
    strict: options.strict === true,
    note: options.note ?? (() => undefined),
  });
}
