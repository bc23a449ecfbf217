import type { Note } from '../../configfile/watched-file.ts';
import { formatReference } from '../../oci/reference.ts';
import type { Trust, Verdict } from '../../ports/trust.ts';
import { createRecall, type Recall } from '../../util/memo.ts';
import { evaluate } from './evaluation.ts';
import { openPolicyFile, type PolicyState } from './policy-file.ts';

/** The number of accepted verdicts that are cached in memory; the oldest is dropped first. */
const maxVerdicts = 4096;

export type SignaturePolicyOptions = {
  /** A sigstore bundle is enough, although it names no repository and so meets no signedIdentity. */
  readonly digestIsEnough?: boolean;
  /** Fields of the policy that containers does not know refuse everything in their scope. */
  readonly strict?: boolean;
  /** Called with each problem of the policy, once, and when a changed policy has none. */
  readonly note?: Note;
};

/** Evaluates whether artifacts are signed as the node's administrator requires. */
export type PolicyTrust = Trust & {
  /** Returns what in the policy of the present files refuses because it is not supported; a message each. */
  problems(): readonly string[];
  /** Returns the problems that refuse every artifact. */
  obstacles(): readonly string[];
};

/**
 * Opens containers' policy.json. It is read again when the file, or another file that it names, changes. A policy that
 * cannot be read or parsed refuses everything, so that a broken edit never re-opens access.
 */
export function openSignaturePolicy(
  file: string,
  { digestIsEnough = false, strict = false, note = () => {} }: SignaturePolicyOptions = {},
): PolicyTrust {
  const current = openPolicyFile(file, strict, note);
  const verdicts = new WeakMap<PolicyState, Recall<string, Verdict>>();
  current();

  return {
    async verify(reference, digest, signatures, signal) {
      const state = current();
      const name = formatReference(reference);
      if (state.kind === 'broken') {
        const why = `${name} (${digest}) cannot be mounted: the signature policy of this node is broken (${state.why}), and all mounts are refused until its administrator corrects it`;
        return { kind: 'refused', why };
      }
      const kept = verdicts.get(state) ?? createRecall<string, Verdict>(maxVerdicts);
      verdicts.set(state, kept);
      const key = `${name} ${digest}`;
      const known = kept.get(key);
      if (known !== undefined) return known;
      const { policy } = state;
      const verdict = await evaluate({ policy, file, digestIsEnough, reference, digest }, signatures, signal);
      if (verdict.kind === 'accepted') kept.keep(key, verdict);
      return verdict;
    },
    problems: () => current().problems,
    obstacles() {
      const state = current();
      return state.kind === 'broken' ? state.problems : [];
    },
  };
}
