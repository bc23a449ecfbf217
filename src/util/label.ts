import { invalidValue } from './error.ts';

/** A key of a Kubernetes label: a name, or a DNS subdomain, a slash and a name. */
export function isLabelKey(text: string): boolean {
  const slash = text.indexOf('/');
  const prefix = text.slice(0, Math.max(slash, 0));
  const isDomain =
    prefix.length <= 253 && /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/.test(prefix);
  return (slash === -1 || isDomain) && isLabelName(text.slice(slash + 1));
}

/** The name in a key, or a value that is not empty. */
export function isLabelName(text: string): boolean {
  return text.length <= 63 && /^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/.test(text);
}

/** `topology.kubernetes.io/zone=eu-1a,rack=r7`. @throws ArtifactError `invalid`. */
export function parseLabels(text: string): Readonly<Record<string, string>> {
  const pairs = text.split(',').map(pair => {
    const [key = '', value = '', ...more] = pair.split('=');
    if (more.length === 0 && isLabelKey(key) && isLabelName(value)) return [key, value] as const;
    throw invalidValue('label', pair, 'must be key=value, such as topology.kubernetes.io/zone=eu-1a');
  });
  return Object.fromEntries(pairs);
}
