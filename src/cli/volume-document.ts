import type { Volume } from '../ports/usecases.ts';
import { toTimestamp } from './output.ts';

/** A volume as commands print it: without the fingerprint, and with its time in RFC 3339. */
export function toVolumeDocument<T extends Volume>(
  volume: T,
): Omit<T, 'fingerprint' | 'publishedAt'> & { readonly publishedAt: string | undefined } {
  const { fingerprint: _, publishedAt, ...shown } = volume;
  return { ...shown, publishedAt: toTimestamp(publishedAt) };
}
