import stringWidth from 'string-width';

/** The number of terminal columns of a text. */
export function widthOf(text: string): number {
  return stringWidth(text);
}

/** Pads a text with spaces to a width in columns. */
export function padTo(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - widthOf(text)));
}

/** Cuts a text to a width of at least 1 column, with an ellipsis if it is cut. */
export function cutTo(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let cut = '';
  let taken = 0;
  for (const { segment } of graphemes.segment(text)) {
    taken += widthOf(segment);
    if (taken > width - 1) break;
    cut += segment;
  }
  return `${cut}…`;
}

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });
