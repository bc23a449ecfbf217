import type { Settings } from './cli/settings.ts';
import type { KubeApi } from './kube/api.ts';
import { openNamespaces } from './kube/namespaces.ts';
import { type AccessFile, openAccessFile } from './policy/access/access-file.ts';
import { openTrust } from './policy/signature/open.ts';
import { openPrefetchFile, type PrefetchFile } from './prefetch/prefetch-file.ts';
import { parseAttributes } from './volume/attributes.ts';

/** What the administrator decides in files: who may mount what, what must be signed, and what is there beforehand. */
export type Policies = {
  readonly accessPolicy: AccessFile;
  readonly trust: Awaited<ReturnType<typeof openTrust>>;
  readonly prefetch: PrefetchFile;
  /** Files that are broken, one line each. */
  problems(): readonly string[];
  /** Those that cause refusals. */
  obstacles(): readonly string[];
};

/**
 * Opens the files. Each is read again when it changes.
 *
 * @param kube undefined while the Kubernetes API is off.
 */
export async function openPolicies(
  settings: Settings,
  kube: KubeApi | undefined,
  note: (text: string) => void,
): Promise<Policies> {
  const namespaces = kube === undefined ? undefined : openNamespaces(kube);
  const trust = await openTrust({
    ...(settings.policy === undefined ? {} : { policyFile: settings.policy }),
    ...(settings.bundleIdentity === undefined ? {} : { bundleIdentity: settings.bundleIdentity }),
    strict: settings.strictPolicy,
    note,
  });
  const accessPolicy = await openAccessFile(settings.accessPolicy, { namespaces, note });
  const prefetch = await openPrefetchFile(settings.prefetch, {
    parseAttributes,
    hasLabels: kube !== undefined,
    note,
  });
  return {
    accessPolicy,
    trust,
    prefetch,
    problems: () => [trust, accessPolicy, prefetch].flatMap(part => part.problems()),
    obstacles: () => [trust, accessPolicy].flatMap(part => part.obstacles()),
  };
}
