/** Formats a list: the first three items by name, the rest as a number. */
export type Few = {
  /** `describe` is not called for items that are only counted. */
  add(describe: () => string): void;
  /** Returns undefined for an empty list. */
  format(): string | undefined;
};

const shown = 3;

export function createFew(): Few {
  const first: string[] = [];
  let count = 0;
  return {
    add(describe) {
      if (count++ < shown) first.push(describe());
    },
    format() {
      if (count === 0) return undefined;
      return `${first.join(', ')}${count > shown ? ` and ${count - shown} more` : ''}`;
    },
  };
}
