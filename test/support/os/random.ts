import { randomInt } from 'node:crypto';
import process from 'node:process';

/** Reproducible random numbers: the same seed gives the same numbers from 0 up to 1. */
export type Random = { readonly seed: number; next(): number };

/** Uses a given seed, else that of FAULT_SEED to reproduce a failure, else a new one. The generator is mulberry32. */
export function openRandom(seed: number = Number(process.env['FAULT_SEED'] ?? randomInt(2 ** 31))): Random {
  let state = seed;
  return {
    seed,
    next() {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    },
  };
}
