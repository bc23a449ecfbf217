import { existsSync } from 'node:fs';
import type { Digest } from '../../oci/digest.ts';
import type { Damage, Held, Item, Layers } from '../../ports/store.ts';
import type { LayerForm } from '../../tree/toc.ts';
import type { EvidenceStore } from '../integrity/evidence.ts';
import type { FormStore } from './layers.ts';

/**
 * Tar layers in both forms: unpacked into bodies, and as their tars. A layer may be stored in both, while views of both
 * kinds show it. They are one item: verified, and removed, together.
 */
export type LayerStore = Layers & Pick<FormStore, 'files' | 'bodyPath' | 'dataFiles'>;

export function combineForms(
  stores: Readonly<Record<LayerForm, FormStore>>,
  witness: Pick<EvidenceStore, 'arrived' | 'forget'>,
): LayerStore {
  const { bodies, tar } = stores;
  const both = [bodies, tar] as const;
  const itemOf = (digest: Digest): Item => ({ kind: 'layers', digest });
  const formOf = (digest: Digest): LayerForm | undefined => {
    if (bodies.files(digest) !== undefined) return 'bodies';
    return tar.files(digest) === undefined ? undefined : 'tar';
  };
  const storeOf = (digest: Digest): FormStore => stores[formOf(digest) ?? 'bodies'];

  return {
    form: formOf,
    has: async (digest, form) =>
      form === undefined ? (await bodies.has(digest)) || (await tar.has(digest)) : stores[form].has(digest),
    size: async digest => (await bodies.size(digest)) ?? (await tar.size(digest)),
    readToc: (digest, take, signal, form) =>
      (form === undefined ? storeOf(digest) : stores[form]).readToc(digest, take, signal),
    bodyPath: bodies.bodyPath,
    dataFiles: tar.dataFiles,
    tar: tar.tar,
    path(digest) {
      // Without a table, neither form is known: it is where its directory is.
      const isTar = (formOf(digest) ?? (existsSync(tar.path(digest)) ? 'tar' : 'bodies')) === 'tar';
      return (isTar ? tar : bodies).path(digest);
    },
    async stage(digest, form = 'bodies') {
      const other = stores[form === 'tar' ? 'bodies' : 'tar'];
      // Files that are there already have not been verified just now.
      const isFirst = !(await other.has(digest));
      return stores[form].stage(digest, () => {
        if (isFirst) witness.arrived(itemOf(digest));
        else witness.forget(itemOf(digest));
      });
    },
    files(digest) {
      const found = both.flatMap(store => store.files(digest) ?? []);
      if (found.length === 0) return undefined;
      const count = found.reduce((sum, files) => sum + files.count, 0);
      return { count, files: chain(found.map(({ files }) => files)) };
    },
    async check(digest, signal, look) {
      const damages: Damage[] = [];
      for (const store of both) {
        const damage = await store.check(digest, signal, look);
        if (damage !== undefined) damages.push(damage);
      }
      const first = damages.find(({ outdated }) => outdated !== true) ?? damages[0];
      return first && { ...first, inodes: damages.flatMap(({ inodes }) => inodes) };
    },
    async remove(digest) {
      witness.forget(itemOf(digest));
      for (const store of both) await store.remove(digest);
    },
    async list() {
      const held = new Map<Digest, Held>();
      for (const store of both) {
        for (const item of await store.list()) {
          const { bytes = 0, inodes = 0 } = held.get(item.digest) ?? {};
          held.set(item.digest, { ...item, bytes: item.bytes + bytes, inodes: item.inodes + inodes });
        }
      }
      return [...held.values()];
    },
  };
}

function* chain<T>(parts: readonly Iterable<T>[]): Generator<T> {
  for (const part of parts) yield* part;
}
