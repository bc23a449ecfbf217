import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { formatReference, type Reference } from '../../oci/reference.ts';
import type { Durability } from '../../ports/durability.ts';
import type { NameRecord, Names, PinRecord, Pins } from '../../ports/records.ts';
import type { Resolution } from '../../ports/resolution.ts';
import { never } from '../../util/abortable.ts';
import { ArtifactError } from '../../util/error.ts';
import { createKeyedMutex } from '../../util/mutex.ts';
import { type Leases, nameId } from '../cache/leases.ts';

/** What a reference resolved to. `authorised` is undefined if the cache answered. */
export type ResolvedName = {
  readonly reference: Reference;
  readonly descriptor: Descriptor;
  readonly authorised?: NameRecord['authorised'];
};

export function toResolvedName({ reference, descriptor, credential }: Resolution): ResolvedName {
  if (credential === undefined) return { reference, descriptor };
  return { reference, descriptor, authorised: credential.kind === 'anonymous' ? 'anonymous' : 'credential' };
}

/**
 * Writes the records of names and pins. One call at a time works on a reference, and garbage collection leaves it
 * alone.
 */
export type Naming = {
  /**
   * Records what a reference resolved to, and adds `holds` to the digests of its name, and of an administrator's pin of
   * this digest. The caller leases them until this returns.
   */
  record(answer: ResolvedName, holds: readonly Digest[]): Promise<void>;
  /**
   * Waits until a power cut takes neither the name, nor this content and the view with this key.
   *
   * @throws why a part of it could not be written; the signal's reason.
   */
  settle(reference: Reference, holds: readonly Digest[], key: string, signal: AbortSignal): Promise<void>;
  /** Pins the digests of a name. @throws `not-found` if the name does not exist any more. */
  pin(reference: string): Promise<Digest>;
  /**
   * Makes the pin of the list of --prefetch keep these digests, and what it keeps already unless they are all. The pin
   * of an administrator stays as it is. The caller leases digests that nothing keeps yet.
   */
  keep(reference: string, digest: Digest, holds: readonly Digest[], areAll: boolean): Promise<void>;
  /** Ends a pin of any origin, or only one of `by`: a person may have made it their own meanwhile. */
  unpin(reference: string, by?: PinRecord['by']): Promise<void>;
  /** Removes a name, and answers its record. Garbage collection removes the content that only it needed. */
  forget(reference: string): Promise<NameRecord | undefined>;
};

export function createNaming(world: {
  readonly names: Pick<Names, 'find' | 'put' | 'settle' | 'touch' | 'remove'>;
  readonly durability: Pick<Durability, 'settle'>;
  readonly pins: Pick<Pins, 'find' | 'put' | 'remove'>;
  readonly leases: Pick<Leases, 'hold'>;
}): Naming {
  const { names, pins, leases } = world;
  const turns = createKeyedMutex();

  const take = async (reference: string): Promise<Disposable> => {
    using stack = new DisposableStack();
    stack.use(await turns.lock(reference, never));
    stack.use(await leases.hold([nameId(reference)]));
    return stack.move();
  };

  const recordName = async (
    reference: string,
    { descriptor, authorised: by }: ResolvedName,
    brought: readonly Digest[],
  ): Promise<void> => {
    const before = await names.find(reference);
    const isSame = before?.descriptor.digest === descriptor.digest;
    // The cached answer is older than the present record of the name.
    if (before !== undefined && !isSame && by === undefined) return;
    const all = union(isSame ? before.holds : [], brought);
    const authorised = by ?? before?.authorised ?? 'local';
    if (isSame && all.length === before.holds.length && before.authorised === authorised) {
      await names.touch(reference);
      return;
    }
    const now = Date.now();
    await names.put({
      reference,
      descriptor: toRecorded(descriptor),
      resolvedAt: now,
      authorised,
      holds: all,
      usedAt: now,
    });
  };

  const recordPin = async (reference: string, digest: Digest, brought: readonly Digest[]): Promise<void> => {
    const pin = await pins.find(reference);
    // The list of --prefetch says itself what its pins keep.
    if (pin?.digest !== digest || pin.by === 'prefetch') return;
    const all = union(pin.holds, brought);
    if (all.length > pin.holds.length) await pins.put({ ...pin, holds: all });
  };

  return {
    async record(answer, brought) {
      const reference = formatReference(answer.reference);
      using _turn = await take(reference);
      await recordPin(reference, answer.descriptor.digest, brought);
      await recordName(reference, answer, brought);
    },
    async settle(reference, holds, key, signal) {
      await world.durability.settle(holds, key, signal);
      await names.settle(formatReference(reference), signal);
    },
    async pin(reference) {
      using _turn = await take(reference);
      const name = await names.find(reference);
      if (name === undefined)
        throw new ArtifactError('not-found', `${reference} has just left the cache; pull it again`);
      const { digest } = name.descriptor;
      await pins.put({ reference, digest, pinnedAt: Date.now(), holds: name.holds });
      return digest;
    },
    async keep(reference, digest, needed, areAll) {
      using _turn = await take(reference);
      const before = await pins.find(reference);
      if (before !== undefined && before.by === undefined) return;
      const same = before?.digest === digest ? before.holds : undefined;
      const holds = areAll ? needed : union(same ?? [], needed);
      if (same?.length === holds.length && union(same, holds).length === holds.length) return;
      await pins.put({ reference, digest, pinnedAt: Date.now(), holds, by: 'prefetch' });
    },
    async unpin(reference, by) {
      using _turn = await take(reference);
      if (by === undefined || (await pins.find(reference))?.by === by) await pins.remove(reference);
    },
    async forget(reference) {
      using _turn = await take(reference);
      const name = await names.find(reference);
      await names.remove(reference);
      return name;
    },
  };
}

function union(one: readonly Digest[], other: readonly Digest[]): readonly Digest[] {
  return [...new Set([...one, ...other])];
}

/** Nobody reads the annotations of a recorded descriptor, which every list of the records would read. */
function toRecorded({ data: _, ...descriptor }: Descriptor): Descriptor {
  return { ...descriptor, annotations: {} };
}
