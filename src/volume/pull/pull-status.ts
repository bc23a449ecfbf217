import { isDigestStart, isStartOf } from '../../oci/digest.ts';
import { formatReference } from '../../oci/reference.ts';
import type { Expander } from '../../ports/registry.ts';
import type { Artifacts, Progress, Wanter } from '../../ports/usecases.ts';
import { ArtifactError } from '../../util/error.ts';
import { resolving } from './progress.ts';
import type { Pull } from './pull.ts';
import type { Flight } from './single-flight.ts';

/** Lists and cancels pulls in progress. */
export function createPullStatus(
  pull: Pick<Pull, 'list'>,
  expander: Expander,
): Pick<Artifacts, 'pulls' | 'cancel'> {
  return {
    async pulls() {
      return pull
        .list()
        .map(({ since, latest = resolving, wanters }) => ({ since, progress: latest, wanters }));
    },
    async cancel(text) {
      const isDigest = isDigestStart(text);
      const names = new Set(isDigest ? [] : [text, ...expander.expand(text).map(formatReference)]);
      const isMeant = ({ digest, reference }: Wanter): boolean =>
        isDigest ? digest !== undefined && isStartOf(text, digest) : names.has(reference);
      const meant = pull.list().filter(({ wanters }) => wanters.some(isMeant));
      if (meant.length === 0)
        throw new ArtifactError(
          'not-found',
          `no pull of ${text} is under way; \`status\` lists those that are`,
        );
      await Promise.all(meant.map(flight => flight.cancel(cancelled(flight))));
      return meant.length;
    },
  };
}

function cancelled({ wanters: [first], latest = resolving }: Flight<Progress, Wanter>): ArtifactError {
  const what = first === undefined ? 'the pull' : `the pull of ${first.reference}`;
  const kept = latest.bytes > 0 ? '; what was downloaded is kept' : '';
  return new ArtifactError('cancelled', `${what} was cancelled on this node${kept}`);
}
