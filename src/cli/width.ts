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
  return widthOf(text) <= width ? text : `${take(split(text), width - 1).join('')}…`;
}

/** The same in its middle: one third of what is left is its start. */
export function cutMiddle(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  const characters = split(text);
  const end = take(characters.toReversed(), Math.ceil(((width - 1) * 2) / 3))
    .toReversed()
    .join('');
  return `${take(characters, width - 1 - widthOf(end)).join('')}…${end}`;
}

/** The first characters that fit. */
function take(characters: readonly string[], width: number): readonly string[] {
  let taken = 0;
  const end = characters.findIndex(character => {
    taken += widthOf(character);
    return taken > width;
  });
  return end < 0 ? characters : characters.slice(0, end);
}

/** The characters as people see them. */
function split(text: string): readonly string[] {
  return Array.from(graphemes.segment(text), ({ segment }) => segment);
}

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });
