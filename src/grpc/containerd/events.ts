import type { SharedEvent, Sharing } from '../../ports/sharing.ts';
import { ArtifactError } from '../../util/error.ts';
import { startPace } from '../../util/pace.ts';
import { type Edge, serverStream } from '../edge/call.ts';
import type { EventsHandlers } from '../wire/containerd/services/events/v1/Events.ts';
import type { Envelope } from '../wire/containerd/types/Envelope.ts';
import { compileFilters, type FieldOf } from './filter.ts';
import { theNamespace } from './introspection.ts';
import { refusing } from './refusal.ts';
import { openSubscription } from './subscription.ts';
import { toTimestamp } from './timestamp.ts';

const mostSubscribers = 16;
/** Events that wait for one subscriber: more than an artifact has layers. */
const mostWaiting = 32_768;

const types: Readonly<Record<SharedEvent['topic'], string>> = {
  '/images/create': 'containerd.services.images.v1.ImageCreate',
  '/images/update': 'containerd.services.images.v1.ImageUpdate',
  '/images/delete': 'containerd.services.images.v1.ImageDelete',
  '/content/create': 'containerd.events.ContentCreate',
  '/content/delete': 'containerd.events.ContentDelete',
};

/** containerd.services.events.v1.Events. */
export function eventsHandlers(edge: Edge, sharing: Pick<Sharing, 'follow'>): EventsHandlers {
  const denied = refusing(edge);
  let subscribers = 0;
  return {
    Subscribe: serverStream(edge, async ({ filters }, send, { signal }) => {
      if (subscribers >= mostSubscribers)
        throw new ArtifactError('exhausted', `there are ${mostSubscribers} subscribers; end one of them`);
      // At once: a client that lists next must not miss what comes between.
      using queue = openSubscription(sharing, mostWaiting);
      subscribers++;
      try {
        const isWanted = await compileFilters(filters);
        const pace = startPace(signal);
        for await (const event of queue.read(signal)) {
          if (isWanted(fieldOf(event))) await send(toEnvelope(event));
          await pace();
        }
      } finally {
        subscribers--;
      }
    }),
    Publish: denied,
    Forward: denied,
  };
}

function toEnvelope(event: SharedEvent): Envelope {
  const value = 'reference' in event ? { key: event.reference } : { key: event.digest };
  // The message of a removal has no size.
  const size = event.topic === '/content/create' ? { size: event.size } : {};
  return {
    timestamp: toTimestamp(event.at),
    namespace: theNamespace,
    topic: event.topic,
    event: { type_url: types[event.topic], value: { ...value, ...size } },
  };
}

function fieldOf(event: SharedEvent): FieldOf {
  return ([field, part]) => {
    if (field === 'namespace') return theNamespace;
    if (field === 'topic') return event.topic;
    if (field !== 'event') return undefined;
    if ('reference' in event) return part === 'name' ? event.reference : undefined;
    return part === 'digest' ? event.digest : undefined;
  };
}
