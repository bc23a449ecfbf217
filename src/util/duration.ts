import { ArtifactError } from './error.ts';
import { quoteName } from './name.ts';

const units: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `7d`, `12h`, `30m`, `45s` in milliseconds; `0` is none. @throws ArtifactError `invalid`. */
export function parseDuration(text: string): number {
  if (text === '0') return 0;
  const [, digits = '', unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const duration = Number(digits) * (units[unit] ?? 0);
  if (duration > 0) return duration;
  throw new ArtifactError(
    'invalid',
    `invalid duration ${quoteName(text)}: must be a number with s, m, h or d, such as 45s, 30m, 12h or 7d, or 0`,
  );
}
