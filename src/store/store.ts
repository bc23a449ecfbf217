import { rename } from 'node:fs/promises';
import { readBootId } from '../linux/boot-id.ts';
import { hexOf } from '../oci/digest.ts';
import type { Disk } from '../ports/disk.ts';
import type { Durability, Stored } from '../ports/durability.ts';
import type { AccessRecord, NameRecord, PinRecord, SignatureRecord, VolumeRecord } from '../ports/records.ts';
import type { Item } from '../ports/store.ts';
import type { LayerForm } from '../tree/toc.ts';
import { doEach } from '../util/each.ts';
import { ArtifactError, isFullDisk, toArtifactError } from '../util/error.ts';
import { type BlobStore, openBlobs } from './blobs/blobs.ts';
import { findAbsence, findWriteProblem, openDisk } from './disk.ts';
import { openDigestDirectories } from './files/directory.ts';
import { attempt, howToMend } from './files/failure.ts';
import { formatStored, openUnsynced, parseStored, type Unsynced } from './files/unsynced.ts';
import { type GroundOptions, openGround } from './ground.ts';
import { type EvidenceStore, type FilesOf, openEvidence } from './integrity/evidence.ts';
import { openQuarantine } from './integrity/quarantine.ts';
import { openVerity, type Verity } from './integrity/verity.ts';
import { type LateViewStore, openLateViews } from './late/late-views.ts';
import { combineForms, type LayerStore } from './layers/layer-forms.ts';
import { type LayerSizeStore, openLayerSizes } from './layers/layer-sizes.ts';
import { type FormStore, openLayers } from './layers/layers.ts';
import {
  accessRecords,
  nameRecords,
  pinRecords,
  signatureRecords,
  volumeRecords,
} from './records/record-kinds.ts';
import { openRecords, type RecordKind, type Records } from './records/records.ts';
import { openSalt } from './salt.ts';
import { type ImageSupport, probeImages } from './views/image-support.ts';
import type { ImageSources } from './views/view-image.ts';
import type { ViewContents } from './views/view-tree.ts';
import { openViews, type ViewStore } from './views/views.ts';

/**
 * The cache of one node: the content of its state directory, to which only this process writes. Disposing it ends
 * background deletions and releases the lock; running calls must have ended.
 */
export type Store = AsyncDisposable & {
  readonly blobs: BlobStore;
  readonly layers: LayerStore;
  readonly views: ViewStore;
  readonly lateViews: LateViewStore;
  readonly evidence: EvidenceStore;
  readonly verity: Verity;
  readonly imageSupport: ImageSupport;
  readonly durability: Durability;
  /** Moves damaged content to quarantine: it is no longer cached. */
  putAway(item: Item): Promise<void>;
  readonly names: Records<NameRecord>;
  readonly volumes: Records<VolumeRecord>;
  readonly pins: Records<PinRecord>;
  readonly accesses: Records<AccessRecord>;
  readonly signatures: Records<SignatureRecord>;
  readonly layerSizes: LayerSizeStore;
  readonly salt: string;
  readonly disk: Disk;
  /** Why it is read-only: the caller wanted that, or the disk was read-only when it was opened. */
  readonly reads: string | undefined;
  /** Why nothing can be written, for example on a disk that has turned read-only. */
  problem(): string | undefined;
  /** @throws `unavailable` with why nothing can be published: it cannot be written, or is no longer at its path. */
  verifyWritable(): void;
  /** Why it must be reopened. */
  expired(): string | undefined;
  /** Removes abandoned downloads and old content of the quarantine. It is called periodically. */
  retire(): Promise<void>;
};

export type StoreOptions = GroundOptions & {
  /** Makes the kernel read the maps of an image again, if it is mounted. */
  readonly reread?: (image: string) => Promise<void>;
};

/**
 * Opens the state directory, created with its parents if absent, and locks it. It reads the records and nothing else
 * that grows with the cache: what a crash left incomplete is moved aside by name and deleted in the background. A
 * read-only directory is not changed, including incomplete files.
 *
 * @throws `busy` while another process has it; `invalid` for a newer layout, or a directory with foreign files;
 *   `exhausted`.
 */
export function openStore(options: StoreOptions): Promise<Store> {
  const { stateDir, log } = options;
  return attempt(`opening the state directory ${stateDir}`, async () => {
    await using opened = new AsyncDisposableStack();
    const ground = opened.use(await openGround(options));
    const { root, directory, scratch, journal, sizes, reads } = ground;

    const noted = new Set<string>();
    const note = (text: string): void => {
      if (!noted.has(text)) log?.warn({}, text);
      noted.add(text);
    };
    /** What cannot be removed at the start stays, and keeps nothing else from being served. */
    const goOn = (thrown: unknown): void =>
      note(`a leftover in ${stateDir} stays: ${toArtifactError(thrown).message}`);
    const blobDirectories = await openDigestDirectories('blobs', directory);
    const formStore = async (form: LayerForm): Promise<FormStore> =>
      openLayers(await openDigestDirectories(`layers/${form}`, directory), scratch, unsynced);
    const filesOf: FilesOf = ({ kind, digest }) =>
      kind === 'layers'
        ? layers.files(digest)
        : { count: 1, files: [[blobDirectories.above(digest).path, hexOf(digest)]] };
    const unsynced = opened.use(await openUnsynced(root, ground.unsynced));
    const evidence = opened.use(openEvidence(journal, filesOf));
    const verity = await openVerity(scratch, evidence, filesOf);
    const blobs = openBlobs(blobDirectories, await directory('ingest'), scratch.fresh, unsynced, evidence);
    const forms = { bodies: await formStore('bodies'), tar: await formStore('tar') };
    const layers: LayerStore = combineForms(forms, evidence);
    const imageSupport = probeImages(scratch, stateDir);
    const sources: ViewContents & ImageSources = {
      isDirect: imageSupport.isDirect,
      // Without them, images are not used, and are made anew as trees. A store that is only read changes nothing.
      dataFiles: digest =>
        imageSupport.off === undefined || scratch.isClosed ? layers.dataFiles(digest) : undefined,
      path({ source, body, layer }) {
        if (source.kind === 'blob') return blobs.path(source.digest);
        if (source.kind === 'bodies') return layers.bodyPath(source.digest, body);
        throw new ArtifactError(
          'corrupt',
          `${layer}: ${source.digest} is stored in a form that has no files; ${howToMend}`,
        );
      },
      copied({ source: { kind, digest } }) {
        evidence.copied({ kind: kind === 'blob' ? 'blobs' : 'layers', digest });
      },
    };
    const views = openViews(await directory('views'), sources, scratch, evidence, note, unsynced);
    const reread = async (image: string): Promise<void> => {
      await options
        .reread?.(image)
        .catch((thrown: unknown) =>
          note(
            `the volumes of ${image} ask the daemon for bytes that are on the disk, because the kernel keeps the map of that image, and could not be made to read it again: ${toArtifactError(thrown).message}`,
          ),
        );
    };
    const lateWorld = { views, blobs, sources, scratch, witness: evidence, reread };
    const lateViews = openLateViews(await directory('late'), lateWorld, options.bootId ?? readBootId());
    // Views first: removing one leaves its files as they are.
    const torn = ground.torn.flatMap(name => parseStored(name) ?? []);
    const removeTorn = (stored: Stored): Promise<void> =>
      stored.kind === 'views'
        ? views.remove(stored.key)
        : (stored.kind === 'blobs' ? blobs : layers).remove(stored.digest);
    for (const stored of torn.toSorted((a, b) => Number(b.kind === 'views') - Number(a.kind === 'views')))
      await removeTorn(stored).catch((thrown: unknown) => {
        if (isFullDisk(thrown)) throw thrown; // what can be read must not be used
        goOn(thrown);
      });
    const durability = toDurability(unsynced);
    const quarantine = openQuarantine(await directory('quarantine'), scratch.discard);
    const putAway = async ({ kind, digest }: Item): Promise<void> => {
      const { path, remove } = kind === 'blobs' ? blobs : layers;
      await attempt(`putting ${path(digest)} aside`, () =>
        quarantine.take(path(digest), digest.replace(':', '-')),
      );
      await remove(digest);
    };
    const recordsIn = async <T>(name: string, kind: RecordKind<T>): Promise<Records<T>> =>
      openRecords(await directory(name), scratch, kind, note, unsynced);
    const names = await recordsIn('names', nameRecords);
    const volumes = await recordsIn('volumes', volumeRecords);
    const pins = await recordsIn('pins', pinRecords);
    const accesses = await recordsIn('access', accessRecords);
    const signatures = await recordsIn('signatures', signatureRecords);
    const layerSizes = opened.use(openLayerSizes(sizes));
    const salt = await openSalt(root, scratch);

    if (!scratch.isClosed) {
      await blobs.retire(path => rename(path, scratch.fresh())).catch(goOn);
      await views.retireStrays().catch(goOn);
      await lateViews.retire().catch(goOn);
    }
    scratch.sweep().catch((thrown: unknown) => {
      log?.warn(
        { err: thrown },
        `${stateDir}/tmp: leftovers of a crash could not be deleted; the next start tries again`,
      );
    });

    const resources = opened.move();
    const disk = openDisk(stateDir);
    const retire = async (): Promise<void> => {
      await doEach([() => blobs.retire(scratch.discard), quarantine.retire], step => step());
    };
    const close = { [Symbol.asyncDispose]: () => resources.disposeAsync() };
    const content = { blobs, layers, views, lateViews, evidence, verity, imageSupport, durability, putAway };
    const problem = (): string | undefined => findWriteProblem(stateDir);
    const verifyWritable = (): void => {
      const reason = problem() ?? findAbsence(stateDir);
      if (reason !== undefined) throw new ArtifactError('unavailable', reason);
    };
    const expired = (): string | undefined =>
      reads === options.reads || problem() !== undefined
        ? undefined
        : `the state directory ${stateDir} was read-only and can be written again; restart the daemon`;
    const records = { names, volumes, pins, accesses, signatures };
    return {
      ...content,
      ...records,
      layerSizes,
      salt,
      disk,
      reads,
      retire,
      problem,
      verifyWritable,
      expired,
      ...close,
    };
  });
}

function toDurability(unsynced: Pick<Unsynced, 'settle' | 'has' | 'follow'>): Durability {
  return {
    isPending: digest => unsynced.has(formatStored({ kind: 'blobs', digest })),
    settle: (digests, key, signal) =>
      attempt('writing to the disk', () => {
        const items = (['blobs', 'layers'] as const).flatMap(kind =>
          digests.map(digest => ({ kind, digest })),
        );
        return unsynced.settle([...items, { kind: 'views', key } as const].map(formatStored), signal);
      }),
    follow(onLost) {
      unsynced.follow(async failures => {
        const lost = [...failures.keys()].flatMap(name => parseStored(name) ?? []);
        const [thrown] = failures.values();
        await onLost(lost, `could not be written to the disk: ${toArtifactError(thrown).message}`);
      });
    },
  };
}
