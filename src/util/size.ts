import { invalidValue } from './error.ts';

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;
const shape = /^(\d+(?:\.\d+)?)\s*(?:([KMGTP])(i?)B?|B)?$/i;

/**
 * Parses a size in bytes: a number (`4096`), or one with a unit: `500GiB`, `500Gi`, `1.5 TiB` by 1,024, `10G`, `10GB`
 * by 1,000, as in Kubernetes. A fraction of a byte is dropped.
 *
 * @throws ArtifactError `invalid` for anything else, and above 2^53 - 1.
 */
export function parseSize(text: string): number {
  const found = shape.exec(text.trim());
  const [, amount, unit = '', binary = ''] = found ?? [];
  const power = ' KMGTP'.indexOf(unit.toUpperCase() || ' ');
  const bytes = Math.floor(Number(amount) * (binary === '' ? 1000 : 1024) ** power);
  if (Number.isSafeInteger(bytes)) return bytes;
  throw invalidValue(
    'size',
    text,
    'must be a number of bytes or one with a unit, such as 4096, 500GiB or 10G',
  );
}

/** Formats a size for humans, with at most three digits: `0 B`, `512 B`, `3.1 GiB`, `512 MiB`. */
export function formatSize(bytes: number): string {
  let value = bytes;
  let power = 0;
  // Below 999.5, so that rounding never shows four digits.
  while (value >= 999.5 && power < units.length - 1) {
    value /= 1024;
    power++;
  }
  const digits = power > 0 && value < 99.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${units[power]}`;
}
