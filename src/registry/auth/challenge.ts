/** One authentication method that a server offers. Scheme and parameter names are in lower case. */
export type Challenge = { readonly scheme: string; readonly parameters: ReadonlyMap<string, string> };

/** Far above the number of existing methods. */
const maxChallenges = 16;

const separators = /[\s,]*/y;
const token = /[\w!#$%&'*+.^`|~-]+/y;
const token68 = /[ \t]+[\w.~+/-]+=*(?=[ \t]*(?:,|$))/y;
/** Unquoted values may contain more than RFC 9110 allows: some servers do not quote the realm's URL. */
const parameter = /[\s,]*([\w!#$%&'*+.^`|~-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/y;

/**
 * Parses the challenges of a WWW-Authenticate header, or of several joined with commas (RFC 9110, 11.6.1), without
 * duplicates. It never throws: everything after an unreadable part, or after 16 challenges, is ignored. The first of
 * two duplicate parameters counts.
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
