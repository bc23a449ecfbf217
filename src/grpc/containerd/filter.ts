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
 * time.
 *
 * @throws ArtifactError `invalid` for a filter that does not parse.
 */
export async function compileFilters(filters: readonly string[]): Promise<(fieldOf: FieldOf) => boolean> {
  if (filters.length === 0) return () => true;
  if (filters.join().length > longest)
    throw new ArtifactError('invalid', `the filters have more than ${longest} characters`);
  const { RE2JS } = await import('re2js');
  const compile: Compile = pattern => {
    const compiled = RE2JS.compile(pattern);
    return { test: text => compiled.matcher(text).find() };
  };
  const all = filters.map(filter => parseFilter(filter, compile));
  return fieldOf => all.some(selectors => selectors.every(({ path, test }) => test(fieldOf(path))));
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
