/** Describes what is in a text that should be PEM: the labels of its blocks, or what it is instead. */
export function describePem(text: string): string {
  const labels = labelsOf(text);
  const [first] = labels;
  if (first !== undefined) {
    const others = new Set(labels.filter(label => label !== first)).size;
    const also = others === 0 ? '' : `, and ${others} other ${others === 1 ? 'kind' : 'kinds'}`;
    return labels.length === 1 ? `one block, ${first}` : `${labels.length} blocks, ${first}${also}`;
  }
  if (text.trim() === '') return 'nothing';
  // A DER document is one ASN.1 sequence: 0x30, then a length of at least two bytes.
  if (/^0[\u0080-\uffff]/.test(text))
    return 'binary data, perhaps DER: `openssl x509 -inform der` makes PEM of a certificate';
  return 'no PEM block';
}

/** Whether a text has a PEM block with a label that matches. */
export function hasPem(text: string, label: RegExp): boolean {
  return labelsOf(text).some(found => label.test(found));
}

function labelsOf(text: string): readonly string[] {
  return [...text.matchAll(/-----BEGIN ([A-Z0-9 ]{1,40})-----/g)].map(([, label = '']) => label);
}
