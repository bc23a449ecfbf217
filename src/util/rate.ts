/**
 * Returns a function that receives growing values, each with its time in milliseconds, and returns the growth per
 * second over the last `overMs`.
 */
export type Rate = (value: number, now: number) => number;

export function createRate(overMs: number): Rate {
  const samples: { readonly value: number; readonly at: number }[] = [];
  return (value, now) => {
    samples.push({ value, at: now });
    while ((samples[1]?.at ?? now) < now - overMs) samples.shift();
    const [first = { value, at: now }] = samples;
    return now === first.at ? 0 : (Math.max(0, value - first.value) / (now - first.at)) * 1000;
  };
}
