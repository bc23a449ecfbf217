import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import { loadContainerd } from '../../../src/grpc/containerd/definitions.ts';
import type { ContentDefinition } from '../../../src/grpc/wire/containerd/services/content/v1/Content.ts';
import type { ImagesDefinition } from '../../../src/grpc/wire/containerd/services/images/v1/Images.ts';
import { type Calls, openCalls } from './calls.ts';

export type SeenEvent = { readonly topic: string; readonly key: string; readonly size: number };

/** A client of containerd's services, as Spegel has one. */
export type ContainerdClient = Disposable & {
  readonly images: Calls<ImagesDefinition>;
  readonly content: Calls<ContentDefinition>;
  /** The names of images. */
  list(...filters: string[]): Promise<readonly string[]>;
  /** The digests of content, sorted. */
  contents(...filters: string[]): Promise<readonly string[]>;
  read(digest: string, offset?: number, size?: number): Promise<Buffer>;
  /** Reads the first message, and no more; disposing it resets the stream. */
  readOnce(digest: string, size?: number): Promise<Disposable>;
  subscribe(...filters: string[]): Subscription;
};

export type Subscription = Disposable & {
  readonly events: readonly SeenEvent[];
  /** Waits until an event has come. */
  until(topic: string, key: string): Promise<SeenEvent>;
  readonly ended: Promise<ServiceError>;
};

export function openContainerd(socket: string): ContainerdClient {
  const address = `unix:${socket}`;
  const services = loadContainerd();
  const insecure = credentials.createInsecure();
  const client = new Client(address, insecure);
  const content = new services.content.v1.Content(address, insecure);
  const events = new services.events.v1.Events(address, insecure);
  const images = openCalls(client, services.images.v1.Images.service);
  return {
    images,
    content: openCalls(client, services.content.v1.Content.service),
    list: async (...filters) => (await images.List({ filters })).images.map(({ name }) => name),
    async contents(...filters) {
      const found: string[] = [];
      for await (const { info } of content.List({ filters }))
        found.push(...(info as { digest: string }[]).map(({ digest }) => digest));
      return found.toSorted();
    },
    async read(digest, offset = 0, size = 0) {
      const parts: Buffer[] = [];
      let at = offset;
      for await (const message of content.Read({ digest, offset, size })) {
        if (message.offset !== at) throw new Error(`bytes of ${message.offset} came at ${at}`);
        at += message.data.length;
        parts.push(message.data);
      }
      return Buffer.concat(parts);
    },
    async readOnce(digest, size = 0) {
      const call = content.Read({ digest, size });
      call.on('error', () => {});
      await new Promise(resolve => call.once('data', resolve));
      call.pause();
      return { [Symbol.dispose]: () => call.cancel() };
    },
    subscribe(...filters) {
      const seen: SeenEvent[] = [];
      const waiting = new Set<() => void>();
      const { promise: ended, resolve } = Promise.withResolvers<ServiceError>();
      const call = events.Subscribe({ filters });
      call.on(
        'data',
        ({ topic, event }: { topic: string; event: { value: { key: string; size: number } } }) => {
          seen.push({ topic, key: event.value.key, size: event.value.size });
          for (const look of waiting) look();
        },
      );
      call.on('error', (error: ServiceError) => resolve(error));
      return {
        events: seen,
        ended,
        until: (topic, key) =>
          new Promise(found => {
            const look = (): void => {
              const event = seen.find(one => one.topic === topic && one.key === key);
              if (event === undefined) return;
              waiting.delete(look);
              found(event);
            };
            waiting.add(look);
            look();
          }),
        [Symbol.dispose]: () => call.cancel(),
      };
    },
    [Symbol.dispose]() {
      for (const one of [client, content, events]) one.close();
    },
  };
}
