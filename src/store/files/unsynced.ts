import { open } from 'node:fs/promises';
import { syncFileSystem } from '../../linux/io.ts';
import { isDigest } from '../../oci/digest.ts';
import type { Stored } from '../../ports/durability.ts';
import { abortable } from '../../util/abortable.ts';
import { unlessAbsent } from './absent.ts';
import type { Directory } from './directory.ts';
import { syncEntry } from './directory.ts';
import type { DurableList } from './durable-list.ts';

/**
 * The content that is complete at its path, and that the disk may not have yet. It is listed, durably, before it gets
 * its path, and until the disk has it; what is listed is removed after a power cut, before anything reads it. So content
 * is right or absent, and one sync serves all that came since the last one: a thousand blobs, or one.
 *
 * Disposing it waits for the disk.
 */
export type Unsynced = AsyncDisposable & {
  /** Lists names early, in one write. Disposing removes those that were not placed. `place` throws a failure. */
  expect(names: readonly string[]): Disposable;
  /**
   * Lists a name, then calls `move`, which moves the content to its path.
   *
   * @param paths the files and directories to sync; undefined for the whole filesystem.
   */
  place(name: string, move: () => void, paths: Paths): Promise<void>;
  /** The same for what needs no list: a reader finds out whether it is torn. It is at its path already. */
  add(name: string, paths: Paths): void;
  /** Whether a power cut may take it. */
  has(name: string): boolean;
  /** The content was removed. */
  forget(name: string): void;
  /**
   * Waits until the content with these names is durable.
   *
   * @throws why one of them could not be written, until it is placed again; the signal's reason.
   */
  settle(names: readonly string[], signal: AbortSignal): Promise<void>;
  /** Calls back with content that could not be written, from now on and before. It stays in the list until that ends. */
  follow(onLost: OnLost): void;
};

type Path = string | Buffer;
type Paths = readonly Path[] | undefined;
type Entry = { readonly paths: Paths };

/**
 * Takes content out of use that could not be written. It may look right as long as the kernel remembers it. If this
 * fails, the content stays in the list.
 */
export type OnLost = (lost: Failures) => Promise<void>;

/** By name, why content could not be written. */
export type Failures = ReadonlyMap<string, unknown>;

/**
 * The number of paths that are synced one by one, about 0.1 ms each. Above it, one sync of the whole filesystem is
 * cheaper, but it also waits for what other programs have written: 110 ms with 400 MiB of theirs, and 2 ms for ten
 * directories one by one.
 */
const few = 64;
/** Milliseconds after which content is synced for which nobody waits. */
const restMs = 1000;

/** @param root a directory on the filesystem of the content. */
export async function openUnsynced(root: Directory, list: DurableList): Promise<Unsynced> {
  // A descriptor reports the failed writes of its filesystem once, and only those since it was opened.
  // A directory that is only read may be absent.
  const disk = await unlessAbsent(open(root.path));
  /** By name. Content of a process that was killed has no paths. */
  const pending = new Map<string, Entry>();
  const failures = new Map<string, unknown>();
  const expectations = new Map<string, number>();
  /** Failures that nobody follows yet. */
  const unreported = new Map<string, unknown>();
  let onLost: OnLost | undefined;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  for (const name of list.names()) pending.set(name, { paths: undefined });

  /** Answers what could not be written. */
  const syncEach = async (batch: ReadonlyMap<string, readonly Path[]>): Promise<Failures> => {
    const failed = new Map<string, unknown>();
    const syncs = new Map<string, Promise<void>>();
    const syncPath = (path: Path): Promise<void> => {
      const key = typeof path === 'string' ? path : path.toString('latin1');
      const sync = syncs.get(key) ?? unlessAbsent(syncEntry(path));
      syncs.set(key, sync);
      return sync;
    };
    const syncPaths = async ([name, paths]: readonly [string, readonly Path[]]): Promise<void> => {
      try {
        for (const path of paths) await syncPath(path);
      } catch (thrown) {
        failed.set(name, thrown);
      }
    };
    await Promise.all([...batch].map(syncPaths));
    return failed;
  };
  const syncAll = async (batch: ReadonlyMap<string, Entry>): Promise<Failures> => {
    const known = new Map<string, readonly Path[]>();
    let count = 0;
    for (const [name, { paths }] of batch) {
      if (paths !== undefined) known.set(name, paths);
      count += paths?.length ?? few + 1;
    }
    if (count <= few || disk === undefined) return await syncEach(known);
    try {
      await syncFileSystem(disk.fd);
      return new Map();
    } catch (thrown) {
      // What was written without an error is not known: a file whose own sync succeeds may lack its metadata.
      return new Map(Iterator.from(batch.keys()).map(name => [name, thrown]));
    }
  };

  const sync = async (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    const batch = new Map(pending);
    const failed = await syncAll(batch);
    const synced: string[] = [];
    for (const [name, entry] of batch) {
      if (pending.get(name) !== entry) continue; // it was removed, or placed again
      pending.delete(name);
      if (!failed.has(name)) synced.push(name);
      else {
        failures.set(name, failed.get(name));
        unreported.set(name, failed.get(name));
      }
    }
    await unlist(synced);
    await report();
  };
  /** A name that cannot be removed from the list costs a pull after a power cut. */
  const unlist = (names: readonly string[]): Promise<void> =>
    list.remove(names.filter(name => list.has(name) && !expectations.has(name))).catch(() => {});
  const report = async (): Promise<void> => {
    if (onLost === undefined || unreported.size === 0) return;
    const lost = new Map(unreported);
    unreported.clear();
    try {
      await onLost(lost);
    } catch {
      return;
    }
    await unlist([...lost.keys()].filter(name => !pending.has(name)));
  };
  /** A caller during a round may need the next one, too. */
  const round = (): Promise<void> => {
    running ??= sync().finally(() => {
      running = undefined;
    });
    return running;
  };
  const soon = (): void => {
    timer ??= setTimeout(() => void round(), restMs).unref();
  };
  if (pending.size > 0) soon();
  const enter = (name: string, paths: Paths): void => {
    failures.delete(name);
    const before = pending.get(name);
    const isMore = before?.paths !== undefined && paths !== undefined;
    // Two forms of a layer have one name.
    pending.set(name, {
      paths: before === undefined ? paths : isMore ? [...new Set([...before.paths, ...paths])] : undefined,
    });
    soon();
  };

  return {
    expect(names) {
      for (const name of names) expectations.set(name, (expectations.get(name) ?? 0) + 1);
      list.add(names.filter(name => !list.has(name))).catch(() => {});
      return {
        [Symbol.dispose]() {
          const left: string[] = [];
          for (const name of names) {
            const others = (expectations.get(name) ?? 1) - 1;
            if (others > 0) expectations.set(name, others);
            else if (expectations.delete(name) && !pending.has(name)) left.push(name);
          }
          list.remove(left).catch(() => {}); // it stays, and costs a pull after a power cut
        },
      };
    },
    async place(name, move, paths) {
      // The list may change while this waits.
      while (!list.has(name)) await list.add([name]);
      try {
        move();
      } catch (thrown) {
        if (!pending.has(name) && !expectations.has(name)) list.remove([name]).catch(() => {});
        throw thrown;
      }
      enter(name, paths);
    },
    add: enter,
    has: name => pending.has(name),
    forget(name) {
      if (pending.delete(name)) void unlist([name]);
    },
    async settle(names, signal) {
      while (names.some(name => pending.has(name))) await abortable(round(), signal);
      for (const name of names) if (failures.has(name)) throw failures.get(name);
    },
    follow(handler) {
      onLost = handler;
      void report();
    },
    async [Symbol.asyncDispose]() {
      await running;
      if (pending.size > 0) await round();
      clearTimeout(timer);
      await disk?.close();
    },
  };
}

/** Returns the name of what is stored, for the list of what a power cut may take. */
export function formatStored(stored: Stored): string {
  return stored.kind === 'views' ? `views/${stored.key}` : `${stored.kind}/${stored.digest}`;
}

/** Returns undefined for another name, such as one of a newer version. */
export function parseStored(name: string): Stored | undefined {
  const slash = name.indexOf('/');
  const [kind, id] = [name.slice(0, slash), name.slice(slash + 1)];
  if (kind === 'views') return { kind, key: id };
  return (kind === 'blobs' || kind === 'layers') && isDigest(id) ? { kind, digest: id } : undefined;
}
