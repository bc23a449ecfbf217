/** Beyond this distance, a word is not a typing error of another; the limit is lower for short words. */
const mostEdits = 2;

/**
 * Returns the known word that was probably meant: it differs in capitals, or by a letter or two left out, added,
 * changed or swapped.
 */
export function findNear(word: string, known: readonly string[]): string | undefined {
  const most = Math.min(mostEdits, Math.floor(word.length / 3));
  const near = known
    .map(other => ({ other, edits: countEdits(word.toLowerCase(), other.toLowerCase(), most) }))
    .filter(({ edits }) => edits <= most)
    .toSorted((a, b) => a.edits - b.edits);
  return near[0]?.other;
}

/** ` (did you mean location?)`; empty if nothing is near. */
export function suggest(word: string, known: readonly string[]): string {
  const near = findNear(word, known);
  return near === undefined ? '' : ` (did you mean ${near}?)`;
}

/** Damerau-Levenshtein distance of adjacent swaps; more than `most` for all greater distances. */
function countEdits(from: string, to: string, most: number): number {
  if (Math.abs(from.length - to.length) > most) return most + 1;
  let before: readonly number[] = [];
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const isSame = from[i - 1] === to[j - 1];
      const isSwapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1];
      const changed = (row[j - 1] ?? 0) + (isSame ? 0 : 1);
      const swapped = isSwapped ? (before[j - 2] ?? 0) + 1 : Infinity;
      next[j] = Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, changed, swapped);
    }
    before = row;
    row = next;
  }
  return row[to.length] ?? 0;
}
