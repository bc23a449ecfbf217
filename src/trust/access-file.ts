import { readFileSync, statSync } from 'node:fs';
import { quoteName } from '../oci/name.ts';
import { formatReference, type Reference } from '../oci/reference.ts';
import { ArtifactError, errnoOf } from '../util/error.ts';
import type { AccessRules } from './access-policy.ts';

/** Who wants it; a pod's namespace and uid are kubelet's word, not the user's. */
type Asker = {
  readonly caller: 'administrator' | 'pod';
  readonly pod?: { readonly namespace: string; readonly uid: string };
};

/** An administrator's word on which pods may have which artifacts. */
export type AccessFile = {
  /**
   * Judges a pod's request for a full reference, by the file as it is now. An administrator may have everything.
   *
   * @throws ArtifactError `denied` naming file and rule; or that the file cannot be used, or that nobody knows the pod.
   */
  verify(reference: Reference, asker: Asker): void;
  /** Why every publish is refused; nothing while the file can be used. */
  problems(): readonly string[];
};

type State =
  | { readonly kind: 'loaded'; readonly rules: AccessRules }
  | { readonly kind: 'broken'; readonly why: string };

/**
 * Opens an access policy; without one, every pod may have everything. Each use asks stat whether the file has changed
 * (some µs, no waiting), and reads it again if so. One that cannot be read or understood refuses all pods, rather than
 * that what an administrator has just forbidden goes on.
 */
export async function openAccessFile(file: string | undefined): Promise<AccessFile> {
  if (file === undefined) return { verify: () => undefined, problems: () => [] };
  const { judgeAccess, parseAccessPolicy } = await import('./access-policy.ts'); // the parser of YAML takes 40 ms to load
  let held: { readonly stamp: string; readonly state: State } | undefined;

  const load = (): State => {
    try {
      return { kind: 'loaded', rules: parseAccessPolicy(readFileSync(file, 'utf8')) };
    } catch (thrown) {
      if (thrown instanceof ArtifactError) return { kind: 'broken', why: thrown.message };
      const why = errnoOf(thrown);
      if (why === undefined) throw thrown;
      return { kind: 'broken', why: `it cannot be read (${why}); is it there, in this container too?` };
    }
  };

  /** The look comes before the reading, so that a change between them is seen at the next look. */
  const current = (): State => {
    const stamp = stampOf(file);
    if (held?.stamp !== stamp) held = { stamp, state: load() };
    return held.state;
  };

  return {
    verify(reference, { caller, pod }) {
      if (caller === 'administrator') return;
      const name = formatReference(reference);
      const state = current();
      if (state.kind === 'broken') {
        throw new ArtifactError(
          'denied',
          `${name} is refused, and so is everything, as the access policy ${file} cannot be used: ${state.why}; correct it`,
        );
      }
      if (pod === undefined) {
        throw new ArtifactError(
          'denied',
          `${name} is refused, as the access policy ${file} needs the pod's namespace and uid, and a target path of that pod; set podInfoOnMount: true in the CSIDriver object, so that kubelet tells them`,
        );
      }
      const { action, by } = judgeAccess(state.rules, pod.namespace, reference);
      if (action === 'allow') return;
      throw new ArtifactError(
        'denied',
        `${name} is refused to pods of the namespace ${quoteName(pod.namespace)} by the access policy ${file}, ${by}; mount another artifact, or change that file`,
      );
    },
    problems() {
      const state = current();
      return state.kind === 'loaded'
        ? []
        : [
            `the access policy ${file} cannot be used: ${state.why}; until it is right, every publish is refused`,
          ];
    },
  };
}

/**
 * Follows links, so that a ConfigMap's new version is another inode. A file changed just now can change again at the
 * same time, as file systems tell it: until it has settled it has another stamp at each look.
 */
function stampOf(file: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs, ctimeMs } = statSync(file, { bigint: true });
    const young = Date.now() - Number(ctimeMs) < 100 ? performance.now() : 0;
    return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs} ${young}`;
  } catch (thrown) {
    return errnoOf(thrown) ?? 'unknown';
  }
}
