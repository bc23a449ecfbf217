const units: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** Parses a duration in Go's format (`12h0m0s`, `1.5h`, `-3s`, `0`) to milliseconds; undefined if it is invalid. */
export function parseGoDuration(text: string): number | undefined {
  if (text.length > 64) return undefined;
  const [, sign = '', rest = ''] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  if (rest === '0') return 0;
  if (!/^(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(rest)) return undefined;
  let total = 0;
  for (const [, amount = '', unit = ''] of rest.matchAll(/([\d.]+)([a-zµμ]+)/g)) {
    total += Number(amount) * (units[unit] ?? 0);
  }
  return sign === '-' ? -total : total;
}
