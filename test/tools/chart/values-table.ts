import { parse } from 'yaml';

/** A value of the chart: its key from the root, its default, and the comment above it. */
export type ChartValue = { readonly key: string; readonly preset: unknown; readonly says: string };

/**
 * The values that values.yaml describes, in its order. A key without a comment right above it is described by the keys
 * in it, or by the one that has it.
 *
 * @throws Error naming a key that nothing describes.
 */
export function readValues(text: string): readonly ChartValue[] {
  const comments = readComments(text);
  const visit = (node: unknown, key: string): readonly ChartValue[] => {
    const says = comments.get(key);
    if (says !== undefined) return [{ key, preset: node, says }];
    if (typeof node !== 'object' || node === null || Array.isArray(node))
      throw new Error(`values.yaml: no comment describes ${key}`);
    return Object.entries(node).flatMap(([name, value]) =>
      visit(value, key === '' ? name : `${key}.${name}`),
    );
  };
  return visit(parse(text), '');
}

/** The comment right above each key, as one line. */
function readComments(text: string): ReadonlyMap<string, string> {
  const comments = new Map<string, string>();
  const path: { readonly indent: number; readonly name: string }[] = [];
  let comment: string[] = [];
  for (const line of text.split('\n')) {
    const [, says] = /^ *# ?(.*)$/.exec(line) ?? [];
    const [, indent = '', name] = /^( *)([A-Za-z]\w*):/.exec(line) ?? [];
    if (says !== undefined) comment.push(says);
    if (name !== undefined) {
      while ((path.at(-1)?.indent ?? -1) >= indent.length) path.pop();
      path.push({ indent: indent.length, name });
      if (comment.length > 0) comments.set(path.map(part => part.name).join('.'), comment.join(' '));
    }
    if (says === undefined) comment = [];
  }
  return comments;
}

const begin = '<!-- values: written by npm run chart -->';
const end = '<!-- end of values -->';

/** The README with the table of values between its two markers. */
export function withTable(readme: string, values: readonly ChartValue[]): string {
  const rows = values.map(
    ({ key, preset, says }) =>
      `| \`${key}\` | \`${JSON.stringify(preset)}\` | ${says.replaceAll('|', '\\|')} |`,
  );
  const [before = '', after = ''] = [readme.split(begin)[0], readme.split(end)[1]];
  return [`${before}${begin}`, '| key | default | |', '|---|---|---|', ...rows, `${end}${after}`].join('\n');
}
