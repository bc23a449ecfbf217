import type { Field, Table } from '../../configfile/field.ts';
import { type LabelSelector, matchesLabels, parseLabelSelector } from '../../configfile/label-selector.ts';
import { parseYaml } from '../../configfile/yaml.ts';
import type { Reference } from '../../oci/reference.ts';
import { matchesReference, parseReferenceGlob } from '../../oci/reference-glob.ts';
import type { Labels } from '../../ports/kube.ts';
import { flawOfGlob, matchesWhole } from '../../util/glob.ts';
import { quoteName } from '../../util/name.ts';

/** Which pods may mount which artifacts: the first rule that matches decides, else the default. */
export type AccessRules = { readonly rules: readonly AccessRule[]; readonly fallback: AccessVerdict };

export type AccessRule = {
  readonly namespaces: Namespaces;
  /** Globs of whole names. */
  readonly references: readonly string[];
  readonly verdict: AccessVerdict;
};

/** Globs of whole names, or a selector of labels. */
type Namespaces =
  | { readonly kind: 'named'; readonly globs: readonly string[] }
  | { readonly kind: 'labelled'; readonly selector: LabelSelector };

/** `by` names the rule and its line, for messages. */
export type AccessVerdict = { readonly action: 'allow' | 'deny'; readonly by: string };

/** A pod's namespace. `labels` is undefined if they are not known yet. */
export type Namespace = { readonly name: string; readonly labels: Labels | undefined };

/**
 * Parses an access policy, YAML or JSON:
 *
 *     default: deny                      # or allow; required
 *     rules:                             # the first that matches decides
 *       - name: own artifacts            # for messages; optional
 *         namespaces: [shop, "shop-*"]
 *         references: [registry.example/shop/**, "*.example.com/base/model:v1"]
 *         action: allow                  # or deny
 *       - namespaceSelector:             # in place of namespaces: Kubernetes' LabelSelector
 *           matchLabels: { team: shop }
 *         references: [registry.example/**]
 *         action: allow
 *
 * Globs match whole names: `*` stops at `/`, `**` does not, `?` is one character and `[a-z]` one of a class. A reference
 * matches as registry/repository. It also matches as registry/repository:tag, if it has no digest: with a digest, the
 * tag does not decide what is mounted. So a rule that allows a tag allows no digest, and a rule that denies a tag does
 * not deny its digest. Fields are required unless marked otherwise. Unknown fields, and globs that no name can match,
 * are errors, because such a rule would not do what it seems to do.
 *
 * @throws ArtifactError `invalid` naming line and field.
 */
export function parseAccessPolicy(text: string): AccessRules {
  const top = parseYaml(text);
  top.only('default', 'rules');
  const fallback = top.get('default') ?? top.refuse('has no default; write default: deny');
  const rules = top.tables('rules', 'be-empty') ?? [];
  return {
    rules: rules.map(toRule),
    fallback: { action: toAction(fallback), by: `its default (line ${fallback.line})` },
  };
}

/**
 * Applies the policy to a full reference, for pods of a namespace. `labels-needed`: no earlier rule matched, and the
 * named rule needs the labels, which are not known.
 */
export function evaluateAccess(
  policy: AccessRules,
  namespace: Namespace,
  reference: Reference,
): AccessVerdict | { readonly action: 'labels-needed'; readonly by: string } {
  for (const { namespaces, references, verdict } of policy.rules) {
    if (!matchesReference(references, reference)) continue;
    if (namespaces.kind === 'named') {
      if (namespaces.globs.some(glob => matchesWhole(glob, namespace.name))) return verdict;
    } else {
      if (namespace.labels === undefined) return { action: 'labels-needed', by: verdict.by };
      if (matchesLabels(namespaces.selector, namespace.labels)) return verdict;
    }
  }
  return policy.fallback;
}

/** Returns the first rule that needs labels of namespaces, for messages; undefined if none does. */
export function findLabelRule({ rules }: AccessRules): string | undefined {
  return rules.find(({ namespaces }) => namespaces.kind === 'labelled')?.verdict.by;
}

function toRule(entry: Table): AccessRule {
  entry.only('name', 'namespaces', 'namespaceSelector', 'references', 'action');
  const name = entry.text('name');
  return {
    namespaces: toNamespaces(entry),
    references: entry.need('references').list().map(toReferenceGlob),
    verdict: {
      action: toAction(entry.need('action')),
      by:
        name === undefined
          ? `its rule at line ${entry.line}`
          : `its rule ${quoteName(name)} (line ${entry.line})`,
    },
  };
}

function toNamespaces(entry: Table): Namespaces {
  const selector = entry.table('namespaceSelector');
  if (selector === undefined) {
    return { kind: 'named', globs: entry.need('namespaces').list().map(toNamespaceGlob) };
  }
  if (selector.keys.length === 0)
    selector.refuse('selects every namespace; write namespaces: ["*"] if that is meant, else matchLabels');
  if (!entry.keys.includes('namespaces')) return { kind: 'labelled', selector: parseLabelSelector(selector) };
  return entry.refuse('has namespaces and namespaceSelector; write a rule for each');
}

function toAction(field: Field): 'allow' | 'deny' {
  const text = field.text();
  return text === 'allow' || text === 'deny' ? text : field.invalid('must be allow or deny');
}

function toGlob(field: Field): string {
  const flaw = flawOfGlob(field.text());
  return flaw === undefined ? field.text() : field.invalid(flaw);
}

function toNamespaceGlob(field: Field): string {
  const glob = toGlob(field);
  if (/^[a-z0-9*?[\]!^-]+$/.test(glob)) return glob;
  return field.invalid('matches no namespace: those have lower-case letters, digits and dashes');
}

function toReferenceGlob(field: Field): string {
  const { glob, flaw } = parseReferenceGlob(field.text());
  return flaw === undefined ? glob : field.invalid(flaw);
}
