import type { Durability, Stored } from '../../ports/durability.ts';
import type { Meter } from '../../ports/meter.ts';
import type { Evidence, Item, View, Views } from '../../ports/store.ts';
import type { Retirement } from './retirement.ts';
import { formatShown } from './shown.ts';

/**
 * Takes out of use what the disk refused to write, and each view of it, whatever can still be read. It is logged, and
 * the owners of pods that show it are told.
 */
export function followLosses(world: {
  readonly views: Pick<Views, 'find' | 'holding'>;
  readonly evidence: Pick<Evidence, 'forget'>;
  readonly durability: Pick<Durability, 'follow'>;
  readonly putAway: (item: Item) => Promise<void>;
  readonly retirement: Pick<Retirement, 'retire'>;
  readonly meter: Pick<Meter, 'damageFound'>;
  readonly warn: (text: string) => void;
}): void {
  const { views, evidence, durability, putAway, retirement, meter, warn } = world;
  durability.follow(async (lost: readonly Stored[], problem: string) => {
    const items = lost.filter(stored => stored.kind !== 'views');
    const showing = new Map<string, View>();
    const keep = (view: View | undefined): unknown => view && showing.set(view.key, view);
    for (const stored of lost) if (stored.kind === 'views') keep(await views.find(stored.key));
    for (const item of items) for (const view of await views.holding(item)) keep(view);
    const shownBy = await retirement.retire([...showing.values()], `its content ${problem}`);
    let failure: { readonly thrown: unknown } | undefined;
    for (const item of items) {
      evidence.forget(item);
      await putAway(item).catch((thrown: unknown) => {
        failure ??= { thrown };
      });
      meter.damageFound(item.kind === 'blobs' ? 'blob' : 'layer');
    }
    for (const _ of showing) meter.damageFound('view');
    warn(
      `content of ${showing.size} views ${problem}: it is put aside, and pulled again when it is needed${formatShown(shownBy)}`,
    );
    if (failure !== undefined) throw failure.thrown;
  });
}
