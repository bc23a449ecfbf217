import type { SharedImage, Sharing } from '../../ports/sharing.ts';
import { ArtifactError } from '../../util/error.ts';
import { quoteName } from '../../util/name.ts';
import { startPace } from '../../util/pace.ts';
import { type Edge, unary } from '../edge/call.ts';
import type { Image } from '../wire/containerd/services/images/v1/Image.ts';
import type { ImagesHandlers } from '../wire/containerd/services/images/v1/Images.ts';
import { compileFilters, type FieldOf } from './filter.ts';
import { refusing } from './refusal.ts';
import { toTimestamp } from './timestamp.ts';

/** More do not fit into an answer: clients take 16 MiB. */
const mostImages = 20_000;

/** containerd.services.images.v1.Images. */
export function imagesHandlers(edge: Edge, sharing: Pick<Sharing, 'images' | 'image'>): ImagesHandlers {
  const denied = refusing(edge);
  return {
    Get: unary(edge, async ({ name }) => {
      const image = await sharing.image(name);
      if (image !== undefined) return { image: toImage(image) };
      throw new ArtifactError('not-found', `image ${quoteName(name)}: not found`);
    }),
    List: unary(edge, async ({ filters }, { signal }) => {
      const isWanted = await compileFilters(filters);
      const pace = startPace(signal);
      const images: SharedImage[] = [];
      for (const image of await sharing.images(signal)) {
        if (isWanted(fieldOf(image))) images.push(image);
        await pace();
      }
      if (images.length <= mostImages) return { images: images.map(toImage) };
      throw new ArtifactError(
        'exhausted',
        `${images.length} images are more than the ${mostImages} of an answer; give a filter, such as name~="^registry/"`,
      );
    }),
    Create: denied,
    Update: denied,
    Delete: denied,
  };
}

function fieldOf({ reference, target }: SharedImage): FieldOf {
  return ([field, part]) => {
    if (field === 'name') return reference;
    if (field !== 'target') return undefined;
    return part === 'digest' ? target.digest : part === 'mediatype' ? target.mediaType : undefined;
  };
}

function toImage({ reference, target, since }: SharedImage): Image {
  const { mediaType, digest, size } = target;
  const at = toTimestamp(since);
  return { name: reference, target: { media_type: mediaType, digest, size }, created_at: at, updated_at: at };
}
