import type { Digest } from '../oci/digest.ts';
import type { Folder } from './folder.ts';
import { type Fields, isDigestText, isText } from './json-record.ts';
import { type Note, openRecords, type Records } from './records.ts';
import type { Scratch } from './scratch.ts';

/** Who has had access to a repository, and what was seen to be in it. No secret is in it: `secrets` are salted hashes. */
export type AccessRecord = {
  /** registry/path, as users write it. */
  readonly repository: string;
  readonly anonymous: boolean;
  readonly node: boolean;
  /** namespace/name of service accounts. */
  readonly accounts: readonly string[];
  /** uids of pods. */
  readonly pods: readonly string[];
  readonly secrets: readonly string[];
  readonly digests: readonly Digest[];
  /** What mirrors brought for it, with no word of the registry. */
  readonly mirrored: readonly Digest[];
};

/** Accesses outlive a power cut: with the registry away, they say whom the node may serve. */
export function openAccesses(folder: Folder, scratch: Scratch, note: Note): Promise<Records<AccessRecord>> {
  return openRecords(
    folder,
    scratch,
    {
      noun: 'access record',
      durable: true,
      keyOf: record => record.repository,
      parse: parseAccess,
    },
    note,
  );
}

function parseAccess(fields: Fields): AccessRecord | undefined {
  const { repository, anonymous, node } = fields;
  const accounts = listOf(isText, fields['accounts']);
  const pods = listOf(isText, fields['pods']);
  const secrets = listOf(isText, fields['secrets']);
  const digests = listOf(isDigestText, fields['digests']);
  const mirrored = listOf(isDigestText, fields['mirrored']);
  if (!isText(repository) || typeof anonymous !== 'boolean' || typeof node !== 'boolean') return undefined;
  if (accounts === undefined || pods === undefined || secrets === undefined) return undefined;
  if (digests === undefined || mirrored === undefined) return undefined;
  return { ...fields, repository, anonymous, node, accounts, pods, secrets, digests, mirrored };
}

function listOf<T>(is: (value: unknown) => value is T, value: unknown): readonly T[] | undefined {
  return Array.isArray(value) && value.every(is) ? value : undefined;
}
