import { createHmac } from 'node:crypto';
import type { Holder } from '../../oci/credential.ts';
import type { Digest } from '../../oci/digest.ts';
import { formatRepository, type Repository } from '../../oci/reference.ts';
import type { Accesses } from '../../ports/records.ts';
import type { ServedBy } from '../../ports/registry.ts';
import type { Pod } from '../../ports/request.ts';
import { never } from '../../util/abortable.ts';
import { startPace } from '../../util/pace.ts';
import { shareRuns } from '../../util/shared-run.ts';
import { createRecency } from '../cache/leases.ts';
import { type AccessFacts, accountOf, addHolder, nothingKnown, toFacts, toRecord } from './access-facts.ts';

/**
 * The identity of a caller in the access cache. `brought` are the secrets of the call in one text; undefined for none.
 */
export type Asker = { readonly pod?: Pod; readonly brought?: string };

/** Content, and who served it to whom. */
export type Provenance = { readonly digest: Digest; readonly servedBy: ServedBy };

/** Which callers the registries have granted access to which repositories, kept on the node. */
export type AccessCache = {
  /** Whether the registry has granted this caller access to the repository, or anonymous access. */
  admits(repository: Repository, asker: Asker): boolean;
  /** Whether this content was downloaded for the repository, or a registry served it to anyone. */
  knows(repository: Repository, digest: Digest): boolean;
  /** Whether its registry has served the repository to a caller without any credential. */
  isOpen(repository: Repository): boolean;
  /** Whether the registry of such a repository itself has shown this content to a caller without any credential. */
  isPublic(digest: Digest): boolean;
  /** Whether an administrator loaded this content for the repository. Every pod may have it. */
  isLoaded(repository: Repository, digest: Digest): boolean;
  /** Whether this content was seen in another repository of the same registry. */
  isNear(repository: Repository, digest: Digest): boolean;
  /** Records an access that a registry has granted. Writes only what is new. */
  admit(repository: Repository, holder: Holder, asker: Asker): Promise<void>;
  /** Records and writes that the registry has refused the repository to a caller without any credential. */
  withdraw(repository: Repository): Promise<void>;
  /** Records and writes content that an administrator has loaded. */
  load(repository: Repository, digests: readonly Digest[]): Promise<void>;
  /** Records downloaded content of a repository in memory. Content from a mirror counts for this repository only. */
  note(repository: Repository, served: readonly Provenance[]): void;
  /** Writes what was recorded for a repository. */
  save(repository: Repository): Promise<void>;
  /**
   * Forgets content that is no longer cached, and repositories without content, because anybody can name new ones.
   * Keeps repositories that admitted a caller recently: their manifest may be on its way.
   */
  sweep(isHeld: (digest: Digest) => Promise<boolean>): Promise<void>;
};

/** Records that are written or removed at once: they share commits of the disk's journal. */
const atOnce = 32;

/** `salt` makes the hashes of secrets useless elsewhere. @param now milliseconds of a clock that nobody sets. */
export async function openAccessCache(
  accesses: Accesses,
  salt: string,
  now?: () => number,
): Promise<AccessCache> {
  const records = new Map((await accesses.list()).map(record => [record.repository, toFacts(record)]));
  const holders = new Map<Digest, Set<string>>();
  for (const [name, { digests, mirrored }] of records)
    for (const digest of [...digests, ...mirrored]) note(holders, digest, name);
  const writers = new Map<string, () => Promise<void>>();
  /** Repositories with unwritten content. */
  const unwritten = new Set<string>();
  const recency = createRecency(now);

  const hashOf = ({ brought }: Asker): string | undefined =>
    brought === undefined ? undefined : createHmac('sha256', salt).update(brought).digest('hex');

  const factsOf = (name: string): AccessFacts => {
    const facts = records.get(name) ?? toFacts(nothingKnown(name));
    records.set(name, facts);
    return facts;
  };

  /** Concurrent calls share a write. */
  const write = (name: string): Promise<void> => {
    const writer = writers.get(name) ?? shareRuns(() => accesses.put(toRecord(factsOf(name))));
    writers.set(name, writer);
    return writer();
  };

  /** Other content of an open repository may come from a time when it was private. */
  const isPublic = (digest: Digest): boolean =>
    [...(holders.get(digest) ?? [])]
      .flatMap(name => records.get(name) ?? [])
      .some(({ anonymous, open }) => anonymous && open.has(digest));

  const take = (repository: Repository, served: readonly Provenance[]): void => {
    const name = formatRepository(repository);
    const { digests, open, mirrored } = factsOf(name);
    const count = (): number => digests.size + open.size + mirrored.size;
    const before = count();
    for (const { digest, servedBy } of served) {
      if (servedBy.mirrorOf === undefined) digests.add(digest);
      else if (!digests.has(digest)) mirrored.add(digest);
      if (servedBy.mirrorOf === undefined && servedBy.isOpen === true) open.add(digest);
      note(holders, digest, name);
    }
    if (count() > before) unwritten.add(name);
  };

  const save = async (repository: Repository): Promise<void> => {
    const name = formatRepository(repository);
    if (unwritten.delete(name)) await write(name);
  };

  /** Writes a repository after a sweep, or removes its record if nothing is left. */
  const settle = async (name: string): Promise<void> => {
    const facts = records.get(name);
    if (facts === undefined) return;
    if (facts.digests.size + facts.mirrored.size > 0 || recency.has(name)) return write(name);
    records.delete(name);
    writers.delete(name);
    await accesses.remove(name);
  };

  return {
    admits(repository, asker) {
      const facts = records.get(formatRepository(repository));
      if (facts === undefined) return false;
      const [{ pod }, secret] = [asker, hashOf(asker)];
      return (
        facts.anonymous ||
        facts.node ||
        (pod !== undefined && (facts.pods.has(pod.uid) || facts.accounts.has(accountOf(pod) ?? ''))) ||
        (secret !== undefined && facts.secrets.has(secret))
      );
    },
    knows: (repository, digest) =>
      holders.get(digest)?.has(formatRepository(repository)) === true || isPublic(digest),
    isOpen: repository => records.get(formatRepository(repository))?.anonymous === true,
    isPublic,
    isLoaded: (repository, digest) => records.get(formatRepository(repository))?.loaded.has(digest) === true,
    isNear: (repository, digest) =>
      [...(holders.get(digest) ?? [])].some(name => name.startsWith(`${repository.registry}/`)),
    async admit(repository, holder, asker) {
      const name = formatRepository(repository);
      recency.note(name);
      if (addHolder(factsOf(name), holder, asker.pod, hashOf(asker))) await write(name);
    },
    async withdraw(repository) {
      const name = formatRepository(repository);
      const facts = records.get(name);
      if (facts?.anonymous !== true) return;
      facts.anonymous = false;
      await write(name);
    },
    async load(repository, digests) {
      recency.note(formatRepository(repository));
      for (const digest of digests) {
        take(repository, [{ digest, servedBy: {} }]);
        factsOf(formatRepository(repository)).loaded.add(digest);
      }
      await write(formatRepository(repository));
    },
    note: take,
    save,
    async sweep(isHeld) {
      const changed: string[] = [];
      const pace = startPace(never);
      for (const [name, { digests, open, mirrored, loaded }] of records) {
        const before = digests.size + mirrored.size;
        for (const digest of [...digests, ...mirrored]) {
          const rest = pace();
          if (rest !== undefined) await rest;
          if (await isHeld(digest)) continue;
          digests.delete(digest);
          open.delete(digest);
          mirrored.delete(digest);
          loaded.delete(digest);
          const names = holders.get(digest);
          names?.delete(name);
          if (names?.size === 0) holders.delete(digest);
        }
        const left = digests.size + mirrored.size;
        if (left < before || (left === 0 && !recency.has(name))) changed.push(name);
      }
      for (let at = 0; at < changed.length; at += atOnce)
        await Promise.all(changed.slice(at, at + atOnce).map(settle));
    },
  };
}

function note(holders: Map<Digest, Set<string>>, digest: Digest, repository: string): void {
  const names = holders.get(digest) ?? new Set();
  holders.set(digest, names.add(repository));
}
