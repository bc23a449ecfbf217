import { ArtifactError } from '../../util/error.ts';
import { quoteName } from '../../util/name.ts';
import { unquote } from './quoted.ts';

/** The value of a field of an object by its path; undefined if it has no such field. */
export type FieldOf = (path: readonly string[]) => string | undefined;

type Selector = {
  readonly path: readonly string[];
  readonly test: (value: string | undefined) => boolean;
};

type Matcher = Pick<RegExp, 'test'>;
type Compile = (pattern: string) => Matcher;

/** Characters of all filters of a call. */
const longest = 8192;
/**
 * Characters of all regular expressions of a call, with their repetitions written out: compiling takes memory and time
 * for each, at once, and finding takes time for each and each character of a text.
 */
const mostWrittenOut = 2048;
const repetition = /\{(\d+)(?:,(\d*))?\}/g;

/**
 * Compiles filters in the language of containerd (its package pkg/filters): an object matches if one of them does, or
 * if there are none. A filter is a list of selectors, all of which must match:
 *
 *     selectors := selector ("," selector)*
 *     selector  := fieldpath [("==" | "!=" | "~=") value]
 *     fieldpath := field ("." field)*
 *     field     := quoted | [A-Za-z0-9_]+
 *     value     := quoted | [^\s,]+
 *
 * A selector without a value asks whether the field exists. `~=` finds a regular expression of Go (RE2), in linear
 * time. Many objects take long all the same: pause between them.
 *
 * @throws ArtifactError `invalid` for a filter that does not parse.
 */
export async function compileFilters(filters: readonly string[]): Promise<(fieldOf: FieldOf) => boolean> {
  if (filters.length === 0) return () => true;
  if (filters.join().length > longest)
    throw new ArtifactError('invalid', `the filters have more than ${longest} characters`);
  const { RE2JS } = await import('re2js');
  let left = mostWrittenOut;
  const compile: Compile = pattern => {
    left -= writtenOut(pattern);
    if (left < 0)
      throw new ArtifactError(
        'invalid',
        `the regular expressions of the filters have more than ${mostWrittenOut} characters, with repetitions such as {64} written out`,
      );
    const compiled = RE2JS.compile(pattern);
    return { test: text => compiled.matcher(text).find() };
  };
  const all = filters.map(filter => parseFilter(filter, compile));
  return fieldOf => all.some(selectors => selectors.every(({ path, test }) => test(fieldOf(path))));
}

/** At least the length of a pattern without counted repetitions: they may be nested. */
function writtenOut(pattern: string): number {
  let length = pattern.length;
  for (const [, least, most] of pattern.matchAll(repetition))
    length *= Math.max(1, Number(least), Number(most ?? 0));
  return length;
}

function parseFilter(filter: string, compile: Compile): readonly Selector[] {
  if (filter === '') return [];
  let at = 0;
  const refuse = (why: string): never => {
    throw new ArtifactError('invalid', `the filter ${quoteName(filter)} cannot be parsed at ${at}: ${why}`);
  };
  const take = (token: RegExp): string | undefined => {
    token.lastIndex = at;
    const found = token.exec(filter)?.[0];
    at += found?.length ?? 0;
    return found;
  };
  const takeQuoted = (token: RegExp): string | undefined => {
    const quoted = take(token);
    return quoted && (unquote(quoted) ?? refuse('the quoted text has an escape that Go does not know'));
  };
  const skipSpace = (): void => void take(/\s*/y);
  const takeField = (): string => {
    skipSpace();
    return takeQuoted(plainQuote) ?? take(/\w+/y) ?? refuse('a field must be here');
  };
  const takeSelector = (): Selector => {
    const path = [takeField()];
    while (take(/\./y) !== undefined) path.push(takeField());
    skipSpace();
    const operator = take(/==|!=|~=/y);
    if (operator === undefined) return { path, test: value => value !== undefined };
    skipSpace();
    const quotes = operator === '~=' ? anyQuote : plainQuote;
    const wanted = takeQuoted(quotes) ?? take(/[^\s,"]+/y) ?? refuse('a value must be here');
    skipSpace();
    switch (operator) {
      case '==':
        return { path, test: value => value === wanted };
      case '!=':
        return { path, test: value => (value ?? '') !== wanted };
      default:
        return { path, test: toTest(wanted) };
    }
  };
  const toTest = (pattern: string): Selector['test'] => {
    try {
      const matcher = compile(pattern);
      return value => matcher.test(value ?? '');
    } catch (thrown) {
      if (thrown instanceof ArtifactError) throw thrown;
      return refuse(`${quoteName(pattern)} is no regular expression (${String(thrown)})`);
    }
  };
  const selectors = [takeSelector()];
  while (take(/,/y) !== undefined) selectors.push(takeSelector());
  if (at < filter.length) refuse('a comma or the end must be here');
  return selectors;
}

const plainQuote = /"(?:[^"\\\n]|\\.)*"/y;
/** Slashes and bars are quotes of regular expressions, too. */
const anyQuote = /"(?:[^"\\\n]|\\.)*"|\/(?:[^/\\\n]|\\.)*\/|\|(?:[^|\\\n]|\\.)*\|/y;
