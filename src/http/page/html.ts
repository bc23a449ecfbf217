import { printable } from '../../util/printable.ts';

/** Markup. Only `html` makes it, so that every text in it was escaped. */
export type Html = { readonly markup: string };

export type HtmlValue = Html | string | number | undefined | readonly HtmlValue[];

/** Markup with values in it. A text, also within quotes, is escaped, and so are characters that reorder text. */
export function html(parts: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  let markup = parts[0] ?? '';
  for (const [nth, value] of values.entries()) markup += toMarkup(value) + (parts[nth + 1] ?? '');
  return { markup };
}

function toMarkup(value: HtmlValue): string {
  if (value === undefined) return '';
  if (typeof value === 'object' && 'markup' in value) return value.markup;
  if (typeof value === 'object') return value.map(toMarkup).join('');
  return escapeHtml(String(value));
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escapeHtml(text: string): string {
  return printable(text).replace(/[&<>"']/g, character => entities[character] ?? '');
}
