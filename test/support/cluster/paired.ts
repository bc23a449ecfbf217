/** A median, and the interval between two of the values that has the true one in 95 of 100 cases. */
export type Median = { readonly median: number; readonly least: number; readonly most: number };

/** For few values, the interval is all of them. */
export function medianOf(values: readonly number[]): Median {
  const sorted = values.toSorted((a, b) => a - b);
  const count = sorted.length;
  // Each value is below the true median as often as not: how many are left out at both ends together.
  let [rank, outside, chance] = [0, 0, 0.5 ** count];
  for (; 2 * (outside + chance) <= 0.05; rank++) {
    outside += chance;
    chance *= (count - rank) / (rank + 1);
  }
  const at = (index: number): number => sorted[index] ?? Number.NaN;
  const upper = Math.floor(count / 2);
  return {
    median: (at(upper) + at(count - 1 - upper)) / 2,
    least: at(Math.max(0, rank - 1)),
    most: at(count - Math.max(1, rank)),
  };
}

/** How much more one kind takes than another, over pairs of turns: what else runs changes from turn to turn. */
export function ratioOf(ours: readonly number[], theirs: readonly number[]): Median {
  return medianOf(ours.map((value, turn) => value / (theirs[turn] ?? Number.NaN)));
}
