import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { Damage, Look } from '../../ports/store.ts';
import type { DataFile, TocEntry } from '../../tree/toc.ts';
import { quoteName } from '../../util/name.ts';
import { findDamage } from '../integrity/damage.ts';

type FileEntry = Extract<TocEntry, { kind: 'file' }>;

/** Verifies the bodies of a layer one after the other, and summarizes what is wrong with them. */
export function createBodyCheck(layer: string, look: Look, signal: AbortSignal) {
  const inodes: bigint[] = [];
  let first: string | undefined;
  let wrong = 0;
  const own = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  const directory = statSync(layer);
  /** Unpacking sets an owner only if it differs from its own, which a filesystem may map. */
  const ownerOf = ({ uid, gid }: FileEntry) => ({
    uid: uid === own.uid ? directory.uid : uid,
    gid: gid === own.gid ? directory.gid : gid,
  });
  return {
    async check(entry: TocEntry, path: (body: number) => string): Promise<void> {
      if (entry.kind !== 'file') return;
      const { size, mode, sha256: hex } = entry;
      const wanted = { algorithm: 'sha256', hex, size, mode, ...ownerOf(entry) } as const;
      const damage = await findDamage(path(entry.body), wanted, look, signal);
      if (damage === undefined) return;
      first ??= `body ${entry.body} (${quoteName(entry.path)}) ${damage.problem}`;
      wrong++;
      inodes.push(...damage.inodes);
    },
    /** The same for a file with the bodies of a layer that is stored as its tar. */
    async checkFile({ name, size, sha256: hex }: DataFile): Promise<void> {
      const { uid, gid } = directory;
      const wanted = { algorithm: 'sha256', hex, size, mode: 0o600, uid, gid } as const;
      const damage = await findDamage(join(layer, name), wanted, look, signal);
      if (damage === undefined) return;
      first ??= `its file ${name} ${damage.problem}`;
      wrong++;
      inodes.push(...damage.inodes);
    },
    sum(): Damage | undefined {
      if (first === undefined) return undefined;
      return { problem: wrong === 1 ? first : `${first}, and ${wrong - 1} more are wrong`, inodes };
    },
  };
}
