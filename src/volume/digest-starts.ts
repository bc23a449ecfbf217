import { isDigest, isDigestStart, isFewDigits, isStartOf } from '../oci/digest.ts';
import type { Names, Pins } from '../ports/records.ts';
import type { Views } from '../ports/store.ts';
import { ArtifactError } from '../util/error.ts';

/** What `find` returns for a text, or for the only cached digest that begins with it. */
export type StartSearch = <T>(
  text: string,
  find: (text: string) => Promise<readonly T[]>,
) => Promise<readonly T[]>;

/**
 * Searches by the start of a cached digest. Twelve digits, or fewer after an algorithm, are always a start, if a digest
 * begins with them; digits after an algorithm are never a name. Fewer digits are a name first. What refuses them as a
 * name, such as a node that completes no short names, refuses them only if no digest begins with them.
 *
 * The search throws `invalid` if several digests begin with the text.
 */
export function createStartSearch({
  names,
  views,
  pins,
}: {
  readonly names: Pick<Names, 'list'>;
  readonly views: Pick<Views, 'list'>;
  readonly pins: Pick<Pins, 'list'>;
}): StartSearch {
  const complete = async (text: string): Promise<string> => {
    const [known, made, pinned] = await Promise.all([names.list(), views.list(), pins.list()]);
    const all = [
      ...known.map(({ descriptor }) => descriptor.digest),
      ...made.map(({ manifest }) => manifest),
      ...pinned.map(({ digest }) => digest),
    ];
    const [only = text, ...others] = new Set(all.filter(digest => isStartOf(text, digest)));
    if (others.length === 0) return only;
    throw new ArtifactError(
      'invalid',
      `${text} is the start of ${others.length + 1} digests: ${[only, ...others].join(', ')}; write more of one`,
    );
  };

  return async (text, find) => {
    if (isDigestStart(text) && !isDigest(text)) {
      const whole = await complete(text);
      return whole === text && text.includes(':') ? [] : find(whole);
    }
    if (!isFewDigits(text)) return find(text);
    const [asName] = await Promise.allSettled([find(text)]);
    if (asName.status === 'fulfilled' && asName.value.length > 0) return asName.value;
    const whole = await complete(text);
    if (whole !== text) return find(whole);
    if (asName.status === 'rejected') throw asName.reason;
    return [];
  };
}
