/** A reference with the digest that it was resolved to, once. */
export function toDigested({
  reference,
  digest,
}: {
  readonly reference: string;
  readonly digest: string;
}): string {
  return reference.endsWith(`@${digest}`) ? reference : `${reference}@${digest}`;
}
