/** One way to authenticate that a server names. Scheme and parameter names are in lower case. */
export type Challenge = { readonly scheme: string; readonly parameters: ReadonlyMap<string, string> };

/** Far more ways to authenticate than there are. */
const maxChallenges = 16;

const separators = /[\s,]*/y;
const token = /[\w!#$%&'*+.^`|~-]+/y;
const token68 = /[ \t]+[\w.~+/-]+=*(?=[ \t]*(?:,|$))/y;
/** Unquoted values may hold more than RFC 9110 allows: there are servers that do not quote the realm's URL. */
const parameter = /[\s,]*([\w!#$%&'*+.^`|~-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/y;

/**
 * The challenges of a WWW-Authenticate header, or of several joined with commas (RFC 9110, 11.6.1), each once. Total: what
 * comes after something unreadable, or after 16 of them, is left out; the first of two equal parameters counts.
 */
export function parseChallenges(header: string): readonly Challenge[] {
  const challenges = new Map<string, Challenge>();
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at;
    const match = pattern.exec(header);
    if (match !== null) at = pattern.lastIndex;
    return match ?? undefined;
  };
  for (;;) {
    take(separators);
    const scheme = take(token)?.[0];
    if (scheme === undefined || challenges.size === maxChallenges) return [...challenges.values()];
    const parameters = new Map<string, string>();
    const isWhole = take(token68) !== undefined;
    for (let match = isWhole ? undefined : take(parameter); match !== undefined; match = take(parameter)) {
      const name = (match[1] ?? '').toLowerCase();
      const value = match[2]?.replace(/\\(.)/g, '$1') ?? match[3] ?? '';
      if (!parameters.has(name)) parameters.set(name, value);
    }
    const challenge = { scheme: scheme.toLowerCase(), parameters };
    const key = JSON.stringify([challenge.scheme, ...parameters]);
    if (!challenges.has(key)) challenges.set(key, challenge);
  }
}
