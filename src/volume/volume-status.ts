import { parseReference } from '../oci/reference.ts';
import type { ImageMounts, Mounter, TargetState } from '../ports/mounter.ts';
import type { Root } from '../ports/records.ts';
import type { View, Views } from '../ports/store.ts';
import type { AccessPolicy } from '../ports/trust.ts';
import type { Volume, VolumeStatus } from '../ports/usecases.ts';
import { toArtifactError } from '../util/error.ts';
import type { SignatureCheck } from './access/signature-check.ts';
import type { OnDemand } from './on-demand/on-demand.ts';

/**
 * Reports whether a recorded volume is mounted, what is known to be wrong with its content, and whether the policies of
 * now would refuse it. It reads no content and no directory of the view. It asks no registry; only the labels of a
 * namespace may need the Kubernetes API, for which the signal limits the time.
 *
 * @param seen the views that were read for other volumes of the same list.
 */
export type VolumeStatusReader = (
  record: Volume,
  signal: AbortSignal,
  seen?: Map<string, View | undefined>,
) => Promise<VolumeStatus>;

export function createVolumeStatus(world: {
  readonly views: Pick<Views, 'find'>;
  readonly mounter: Pick<Mounter, 'state'>;
  readonly images: Pick<ImageMounts, 'shown'>;
  readonly signatures: Pick<SignatureCheck, 'evaluate'>;
  readonly accessPolicy: Pick<AccessPolicy, 'verify'>;
  readonly onDemand: Pick<OnDemand, 'status'>;
}): VolumeStatusReader {
  const { views, mounter, images, signatures, accessPolicy } = world;

  const look = ({ targetPath, anywhere }: Volume, view: string | undefined): Promise<TargetState> =>
    // Nothing of ours is mounted at a symlink, at a file, or outside the present kubelet directory.
    mounter.state({ path: targetPath, anywhere }, view).catch(() => ({ kind: 'absent' }));

  const findRefusal = async (record: Volume, signal: AbortSignal): Promise<string | undefined> => {
    const verdict = await signatures.evaluate(record.resolved, record.digest);
    if (verdict.kind === 'refused') return verdict.why;
    const parsed = parseReference(record.resolved);
    if (parsed.kind === 'short') return undefined;
    const { pod, anywhere } = record;
    const caller = anywhere ? 'administrator' : 'pod';
    try {
      await accessPolicy.verify(parsed.reference, { caller, ...(pod && { pod }) }, signal);
      return undefined;
    } catch (thrown) {
      const { code, message } = toArtifactError(thrown);
      return code === 'denied' ? message : undefined; // an outage is no refusal
    }
  };

  return async (record, signal, seen = new Map()) => {
    const { holds: _, ...volume }: Volume & Partial<Root> = record;
    const view = seen.has(record.view) ? seen.get(record.view) : await views.find(record.view);
    seen.set(record.view, view);
    const state = await look(record, view && images.shown(view));
    const damaged = view?.damage ?? findAlteration(view, state);
    const refused = await findRefusal(record, signal);
    const loading = world.onDemand.status(record.view);
    return {
      ...volume,
      mounted: state.kind === 'mounted' && state.shows === 'view',
      ...(refused === undefined ? {} : { refused }),
      ...(damaged === undefined ? {} : { damaged }),
      ...(loading === undefined ? {} : { loading }),
      ...(view?.imageDigest === undefined ? {} : { viewDigest: view.imageDigest }),
    };
  };
}

/** A view that no mount shows is a cache, and may be gone. */
function findAlteration(view: View | undefined, state: TargetState): string | undefined {
  if (state.kind !== 'mounted') return undefined;
  if (view === undefined) return 'its tree is no longer in the cache';
  return state.shows === 'view' && !state.readOnly ? 'its mount is no longer read-only' : undefined;
}
