/** Some of many things, for people: the first three by name, the rest by number. */
export type Few = {
  /** `describe` is not called for those that are only counted. */
  add(describe: () => string): void;
  /** Undefined where there is nothing. */
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
