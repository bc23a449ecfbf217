import type { Field, Table } from '../../configfile/field.ts';
import { toJsonObject } from '../../configfile/json.ts';
import { type LabelSelector, parseLabelSelector } from '../../configfile/label-selector.ts';
import type { ParseAttributes, PrefetchEntry } from '../../ports/prefetch.ts';
import { toArtifactError } from '../../util/error.ts';
import { fieldAt, isObject, type JsonObject } from '../../util/json.ts';
import { shorten } from '../../util/name.ts';
import { attributes, parseArtifact, parseInterval } from '../prefetch-list.ts';

export const group = 'oci-artifact.csi.internal';
export const version = 'v1alpha1';
/** The kinds of prefetches, and their resources in paths of the API. */
export const kinds = {
  ClusterArtifactPrefetch: 'clusterartifactprefetches',
  ArtifactPrefetch: 'artifactprefetches',
} as const;
export type PrefetchKind = keyof typeof kinds;

/** An ArtifactPrefetch or ClusterArtifactPrefetch. */
export type PrefetchResource = {
  readonly kind: PrefetchKind;
  readonly namespace?: string;
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  readonly spec: PrefetchSpec;
  readonly status: JsonObject;
};

/** What it asks for. `broken`: the daemon cannot read it, and why. */
export type PrefetchSpec =
  | { readonly kind: 'broken'; readonly why: string }
  | {
      readonly kind: 'right';
      readonly entries: readonly Pick<PrefetchEntry, 'artifact' | 'keep' | 'intervalMs'>[];
      readonly nodeSelector: LabelSelector;
      readonly maxParallelNodes: NodeLimit | undefined;
      readonly priority: number;
      readonly pullSecrets: readonly SecretName[];
      readonly deadlineAt: number | undefined;
    };

/** Nodes that may pull at once: a number, or a percentage of those that are selected. */
export type NodeLimit = { readonly kind: 'nodes' | 'percent'; readonly count: number };
export type SecretName = { readonly namespace: string; readonly name: string };

/** Characters of the artifacts, and of the selector, of one object: a node compares all of them every few seconds. */
const longestPart = 8 * 1024;
/** An error may name a key of any length. */
const longestWhy = 512;

/** @throws ArtifactError `invalid` for an object without its metadata, which no API server sends. */
export function parseResource(
  kind: PrefetchKind,
  object: unknown,
  parseAttributes: ParseAttributes,
): PrefetchResource {
  const top = toJsonObject(object);
  const metadata = top.need('metadata').table();
  const namespace = kind === 'ArtifactPrefetch' ? metadata.need('namespace').text() : undefined;
  const status = fieldAt(object, 'status');
  return {
    kind,
    ...(namespace === undefined ? {} : { namespace }),
    name: metadata.need('name').text(),
    uid: metadata.need('uid').text(),
    generation: metadata.count('generation') ?? 0,
    spec: parseSpec(() => top.need('spec').table(), namespace, parseAttributes),
    status: isObject(status) ? status : {},
  };
}

function parseSpec(
  table: () => Table,
  namespace: string | undefined,
  parseAttributes: ParseAttributes,
): PrefetchSpec {
  try {
    const spec = table();
    const keep = spec.flag('keep') ?? true;
    const interval = parseInterval(spec.get('interval'));
    const artifacts = spec.tables('artifacts') ?? spec.refuse('has no artifacts');
    const texts = artifacts.flatMap(entry => attributes.flatMap(key => entry.text(key) ?? []));
    if (lengthOf(texts) > longestPart)
      spec.refuse(`has artifacts of more than ${longestPart} characters; make several objects of them`);
    const selector = spec.table('nodeSelector');
    const nodeSelector = selector === undefined ? [] : parseLabelSelector(selector, 'be-empty');
    if (lengthOf(nodeSelector.flatMap(({ key, values }) => [key, ...values])) > longestPart)
      spec.refuse(`has a nodeSelector of more than ${longestPart} characters; select nodes by fewer labels`);
    return {
      kind: 'right',
      entries: artifacts.map(entry => {
        entry.only(...attributes);
        const artifact = parseArtifact(entry, parseAttributes);
        return { artifact, keep, intervalMs: artifact.reference.includes('@') ? undefined : interval };
      }),
      nodeSelector,
      maxParallelNodes: toNodeLimit(spec.get('maxParallelNodes')),
      priority: spec.count('priority') ?? 0,
      pullSecrets: (spec.tables('pullSecrets', 'be-empty') ?? []).map(secret => ({
        // A namespace reads its own secrets only, whatever the object says.
        namespace: namespace ?? secret.need('namespace').text(),
        name: secret.need('name').text(),
      })),
      deadlineAt: toDeadline(spec.get('deadline')),
    };
  } catch (thrown) {
    return { kind: 'broken', why: shorten(toArtifactError(thrown).message, longestWhy) };
  }
}

function lengthOf(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + text.length, 0);
}

function toNodeLimit(field: Field | undefined): NodeLimit | undefined {
  if (field === undefined) return undefined;
  if (field.kind !== 'text') return { kind: 'nodes', count: Math.max(1, field.count()) };
  const [, percent] = /^([1-9]\d?|100)%$/.exec(field.text()) ?? [];
  if (percent !== undefined) return { kind: 'percent', count: Number(percent) };
  return field.invalid('must be a number of nodes, or a percentage such as 10%');
}

function toDeadline(field: Field | undefined): number | undefined {
  if (field === undefined) return undefined;
  const at = Date.parse(field.text());
  return Number.isNaN(at) ? field.invalid('must be a time such as 2026-05-01T06:00:00Z') : at;
}
