import { doAtOnce } from './pace.ts';

/**
 * Whether a layer's name matches a glob, by the rules of `matchesWhole`. A glob without a slash is compared with the
 * last component of the name, so it matches at any depth.
 */
export function matchesGlob(glob: string, name: string, budget: GlobBudget = boundless()): boolean {
  return doAtOnce(compileGlob(glob)(name, budget));
}

/**
 * The remaining steps of matching: one for each character and each part of a glob that it is compared with. Below zero
 * nothing matches any more.
 */
export type GlobBudget = { steps: number };

const boundless = (): GlobBudget => ({ steps: Number.POSITIVE_INFINITY });

/** Some 0.1 ms of work. */
const stepsBetweenYields = 1000;

/** As `matchesGlob`, for many names. Yields after each small step. */
export function compileGlob(glob: string): (name: string, budget: GlobBudget) => Generator<void, boolean> {
  const tokens = parseGlob(glob.startsWith('/') ? glob.slice(1) : glob);
  const isBase = !glob.includes('/');
  return (name, budget) => run(tokens, isBase ? name.slice(name.lastIndexOf('/') + 1) : name, budget);
}

/**
 * Whether a glob matches the whole of a text. `?` is one character, `*` any number except `/`, `**` any number
 * including `/`, and `**` followed by `/` also nothing; `[a-z]` and `[!a-z]` are classes. The time is at most
 * proportional to the product of both lengths.
 */
export function matchesWhole(glob: string, text: string): boolean {
  return doAtOnce(run(parseGlob(glob), text, boundless()));
}

function* run(tokens: readonly Token[], text: string, budget: GlobBudget): Generator<void, boolean> {
  // The set of tokens that may come next, advanced one character at a time.
  let states = withSkips(new Set([0]), tokens);
  let steps = 0;
  for (const character of text) {
    const next = new Set<number>();
    for (const state of states) {
      const token = tokens[state];
      const work = token?.work ?? 1;
      budget.steps -= work;
      steps += work;
      if (token === undefined || !token.takes(character)) continue;
      next.add(token.repeats ? state : state + 1);
    }
    if (next.size === 0 || budget.steps < 0) return false;
    states = withSkips(next, tokens);
    if (steps < stepsBetweenYields) continue;
    steps = 0;
    yield;
  }
  return states.has(tokens.length);
}

type Token = {
  readonly takes: (character: string) => boolean;
  readonly repeats: boolean;
  readonly skips: number;
  /** The steps of one comparison: a class has many ranges. Default: 1. */
  readonly work?: number;
};

/** Adds the states reached without a character: past a star, and past the slash that follows `**`. */
function withSkips(states: Set<number>, tokens: readonly Token[]): Set<number> {
  for (const state of states) {
    const token = tokens[state];
    if (token === undefined || !token.repeats) continue;
    for (let skip = 1; skip <= token.skips; skip++) states.add(state + skip);
  }
  return states;
}

function parseGlob(glob: string): readonly Token[] {
  const tokens: Token[] = [];
  const characters = Array.from(glob);
  const lastEnd = characters.lastIndexOf(']'); // no bracket after it is searched for its end
  for (let at = 0; at < characters.length; ) {
    const character = characters[at] ?? '';
    if (character === '*') {
      const deep = characters[at + 1] === '*';
      const start = at;
      while (characters[at] === '*') at++;
      const wholePart = deep && (start === 0 || characters[start - 1] === '/') && characters[at] === '/';
      tokens.push({ takes: deep ? () => true : c => c !== '/', repeats: true, skips: wholePart ? 2 : 1 });
    } else if (character === '?') {
      tokens.push({ takes: c => c !== '/', repeats: false, skips: 0 });
      at++;
    } else {
      const close = character === '[' && at < lastEnd ? findEnd(characters, at) : -1;
      if (close === -1) {
        tokens.push({ takes: c => c === character, repeats: false, skips: 0 });
        at++;
      } else {
        const members = characters.slice(at + 1, close);
        tokens.push({ takes: parseClass(members), repeats: false, skips: 0, work: members.length });
        at = close + 1;
      }
    }
  }
  return tokens;
}

/** The end of the class that begins at a bracket; -1 if there is none. A first `]` is a member. */
function findEnd(characters: readonly string[], at: number): number {
  return characters.indexOf(']', at + (isNegation(characters[at + 1]) ? 3 : 2));
}

function isNegation(character: string | undefined): boolean {
  return character === '!' || character === '^';
}

function parseClass(members: readonly string[]): (character: string) => boolean {
  const ranges = toRanges(members);
  const isNegated = isNegation(members[0]);
  return character =>
    character !== '/' && ranges.some(([low, high]) => character >= low && character <= high) !== isNegated;
}

/** The ranges of a class; a single character is one, too. */
function toRanges(members: readonly string[]): readonly (readonly [low: string, high: string])[] {
  const ranges: [string, string][] = [];
  for (let at = isNegation(members[0]) ? 1 : 0; at < members.length; at++) {
    const low = members[at] ?? '';
    const high = members[at + 1] === '-' ? members[at + 2] : undefined;
    if (high !== undefined) at += 2;
    ranges.push([low, high ?? low]);
  }
  return ranges;
}

/** Returns why a glob is not valid, for messages. It would match little or nothing. */
export function flawOfGlob(glob: string): string | undefined {
  const characters = Array.from(glob);
  for (let at = 0; at < characters.length; at++) {
    if (characters[at] !== '[') continue;
    const close = findEnd(characters, at);
    if (close === -1) return 'its [ has no ]; for the character itself write [[]';
    const empty = toRanges(characters.slice(at + 1, close)).find(([low, high]) => low > high);
    if (empty !== undefined)
      return `its range ${empty.join('-')} is empty; write ${empty.toReversed().join('-')}`;
    at = close;
  }
  return undefined;
}
