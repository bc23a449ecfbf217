import { type Note, type Reading, readNamed, watchFiles } from '../../configfile/watched-file.ts';
import { formatReference } from '../../oci/reference.ts';
import type { Namespaces } from '../../ports/kube.ts';
import type { AccessPolicy } from '../../ports/trust.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { quoteName } from '../../util/name.ts';
import { type AccessRules, evaluateAccess, findLabelRule, parseAccessPolicy } from './access-policy.ts';

/** The dependencies of an access policy. */
type Means = {
  /** Returns the labels of a namespace; undefined while the Kubernetes API is off. */
  readonly namespaces: Namespaces | undefined;
  /** Called once when the file becomes broken, and when it has changed and can be used. */
  readonly note: Note;
};

/** The administrator's policy on which pods may mount which artifacts. */
export type AccessFile = AccessPolicy & {
  /** Returns why every mount is refused, by the present file; empty while it can be used. */
  problems(): readonly string[];
  /** The same: nothing is published meanwhile. */
  obstacles(): readonly string[];
};

type State =
  | { readonly kind: 'loaded'; readonly rules: AccessRules }
  | { readonly kind: 'broken'; readonly why: string };

/**
 * Opens an access policy. Each use takes the present file. A file that cannot be read or parsed refuses all pods, so
 * that a broken edit never re-opens access.
 */
export function openAccessFile(file: string, { namespaces, note }: Means): AccessFile {
  const read = (reading: Reading): State => {
    try {
      const rules = parseAccessPolicy(readNamed(file, reading));
      const asking = namespaces === undefined ? findLabelRule(rules) : undefined;
      if (asking === undefined) return { kind: 'loaded', rules };
      const why = `${asking} has a namespaceSelector, and the Kubernetes API, which has the labels of namespaces, is off; set --pod-pull-secrets, or list names in namespaces`;
      return { kind: 'broken', why };
    } catch (thrown) {
      if (thrown instanceof ArtifactError) return { kind: 'broken', why: thrown.message };
      throw thrown;
    }
  };

  const lament = (why: string): string =>
    `the access policy ${file} is broken: ${why}; until the file is corrected, every mount is refused`;

  const problemsOf = (state: State): readonly string[] =>
    state.kind === 'loaded' ? [] : [lament(state.why)];
  const current = watchFiles<State>({ what: `the access policy ${file}`, read, problemsOf, note });
  current();

  /** @throws why the labels cannot be read, with the rule that needs them. */
  const readLabels = async (namespace: string, refused: string, by: string, signal: AbortSignal) => {
    try {
      return await namespaces?.labels(namespace, signal);
    } catch (thrown) {
      signal.throwIfAborted();
      const error = toArtifactError(thrown);
      throw new ArtifactError(
        error.code,
        `${refused} while the labels of that namespace cannot be read, which ${by} asks for: ${error.message}`,
        error,
      );
    }
  };

  const problems = (): readonly string[] => problemsOf(current());

  return {
    async verify(
      reference,
      {
        caller,
        pod,
        podUnknown = 'kubelet did not tell; set podInfoOnMount: true in the CSIDriver object',
        namespace = pod?.namespace,
      },
      signal,
    ) {
      if (caller !== 'pod' && namespace === undefined) return;
      const name = formatReference(reference);
      const state = current();
      if (state.kind === 'broken') {
        throw new ArtifactError(
          'denied',
          `${name} cannot be mounted: the access policy ${file} of this node is broken (${state.why}), and all mounts are refused until its administrator corrects it`,
        );
      }
      if (namespace === undefined) {
        throw new ArtifactError(
          'denied',
          `${name} is refused, as the access policy ${file} asks for the namespace of the pod, and the driver does not know the pod: ${podUnknown}`,
        );
      }
      const refused = `${name} is refused to pods of the namespace ${quoteName(namespace)} by the access policy ${file}`;
      let verdict = evaluateAccess(state.rules, { name: namespace, labels: undefined }, reference);
      if (verdict.action === 'labels-needed') {
        const labels = await readLabels(namespace, refused, verdict.by, signal);
        verdict = evaluateAccess(state.rules, { name: namespace, labels }, reference);
      }
      if (verdict.action === 'allow') return;
      throw new ArtifactError(
        'denied',
        `${refused}, ${verdict.by}; mount another artifact, or change that file`,
      );
    },
    problems,
    obstacles: problems,
  };
}
