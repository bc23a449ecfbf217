import type { Labels } from '../../ports/kube.ts';
import { ArtifactError, invalidValue } from '../../util/error.ts';
import { isLabelKey, isLabelName } from '../../util/label.ts';
import { quoteName } from '../../util/name.ts';

/** `${topology.kubernetes.io/zone}` in the address of a mirror stands for the value of that label of this node. */
const placeholder = /\$\{([^{}]*)\}/g;

export function hasPlaceholder(text: string): boolean {
  return text.includes('${');
}

/**
 * Parses a text with plain words in the places of its placeholders; `restore` puts these back into what was parsed.
 *
 * @throws ArtifactError `invalid` for a placeholder that names no label; what `parse` throws.
 */
export function parseAround<T>(
  text: string,
  at: string,
  parse: (plain: string, restore: (parsed: string) => string) => T,
): T {
  const found: string[] = [];
  const plain = text.replace(placeholder, (whole, key: string) => {
    if (isLabelKey(key)) return wordOf(found.push(whole) - 1);
    throw invalidValue('placeholder', whole, 'must be a label, such as ${topology.kubernetes.io/zone}', at);
  });
  return parse(plain, parsed =>
    found.reduce((now, whole, nth) => now.replaceAll(wordOf(nth), whole), parsed),
  );
}

function wordOf(nth: number): string {
  return `zzlabel${nth}zz`;
}

/**
 * Fills in the labels of this node. Only a value that ends no part of an address is taken: no slash, colon or other mark
 * of a URL.
 *
 * @throws ArtifactError `denied` saying which label is absent, or has another value.
 */
export function fillPlaceholders(text: string, labels: Labels): string {
  return text.replace(placeholder, (_, key: string) => {
    const value = Object.hasOwn(labels, key) ? (labels[key] ?? '') : '';
    if (value === '') throw new ArtifactError('denied', `this node has no label ${key}`);
    if (isLabelName(value)) return value;
    throw new ArtifactError(
      'denied',
      `the label ${key} of this node is ${quoteName(value)}, which fits no address`,
    );
  });
}
