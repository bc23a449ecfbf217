import type { Descriptor } from '../../oci/descriptor.ts';
import type { Platform } from '../../oci/platform.ts';
import type {
  AccessRecord,
  NameRecord,
  PinRecord,
  Root,
  SignatureRecord,
  VolumeRecord,
} from '../../ports/records.ts';
import type { Pod } from '../../ports/request.ts';
import { isObject, type JsonObject } from '../../util/json.ts';
import {
  type Guard,
  isAbsentOr,
  isCount,
  isDigestList,
  isDigestText,
  isFlag,
  isOneOf,
  isShaped,
  isText,
  isTextList,
  isTextMap,
} from '../files/json-record.ts';
import type { RecordKind } from './records.ts';

/** Volume records are not synced: a power cut ends every mount, and kubelet then publishes again. */
export const volumeRecords: RecordKind<VolumeRecord> = {
  noun: 'volume record',
  durable: false,
  keyOf: record => record.targetPath,
  parse: fields => parseRoot(fields, isVolume),
};

const isPod = isShaped<Pod>({
  namespace: isText,
  name: isText,
  uid: isText,
  serviceAccount: isAbsentOr(isText),
});
const isVolume = isShaped<VolumeRecord>({
  volumeId: isText,
  targetPath: isText,
  fingerprint: isText,
  anywhere: isFlag,
  keepsFolder: isAbsentOr(isFlag),
  reference: isText,
  resolved: isText,
  digest: isDigestText,
  manifest: isDigestText,
  view: isText,
  bytes: isCount,
  inodes: isCount,
  holds: isDigestList,
  pod: isAbsentOr(isPod),
  publishedAt: isCount,
});

/** Names survive a power cut: without the registry, they are how a node finds cached content. */
export const nameRecords: RecordKind<NameRecord> = {
  noun: 'name',
  durable: 'replacing',
  keyOf: record => record.reference,
  parse(fields, usedAt) {
    const name = parseRoot(fields, isName);
    return name && { ...name, usedAt };
  },
  time: { of: record => record.usedAt, set: (record, usedAt) => ({ ...record, usedAt }) },
};

const isPlatform = isShaped<Platform>({ os: isText, architecture: isText, variant: isAbsentOr(isText) });
const isDescriptor = isShaped<Omit<Descriptor, 'data'>>({
  mediaType: isText,
  digest: isDigestText,
  size: isCount,
  annotations: isTextMap,
  artifactType: isAbsentOr(isText),
  platform: isAbsentOr(isPlatform),
});
const isName = isShaped<Omit<NameRecord, 'usedAt'>>({
  reference: isText,
  descriptor: isDescriptor,
  resolvedAt: isCount,
  authorised: isOneOf('anonymous', 'credential', 'local'),
  holds: isDigestList,
});

/** Pins survive a power cut: a user was told that they are kept. */
export const pinRecords: RecordKind<PinRecord> = {
  noun: 'pin',
  durable: true,
  keyOf: record => record.reference,
  parse: ({ by, ...fields }) => parseRoot(by === 'prefetch' ? { ...fields, by } : fields, isPin),
};

const isPin = isShaped<PinRecord>({
  reference: isText,
  digest: isDigestText,
  pinnedAt: isCount,
  holds: isDigestList,
  by: isAbsentOr(isOneOf('prefetch')),
});

/** Accesses survive a power cut: without the registry, they decide whom the node may serve. */
export const accessRecords: RecordKind<AccessRecord> = {
  noun: 'access record',
  durable: 'replacing',
  keyOf: record => record.repository,
  parse: fields => {
    const whole = { open: [], loaded: [], ...fields }; // older versions did not write them
    return isAccess(whole) ? whole : undefined;
  },
};

const isAccess = isShaped<AccessRecord>({
  repository: isText,
  anonymous: isFlag,
  node: isFlag,
  accounts: isTextList,
  pods: isTextList,
  secrets: isTextList,
  digests: isDigestList,
  open: isDigestList,
  mirrored: isDigestList,
  loaded: isDigestList,
});

export const signatureRecords: RecordKind<SignatureRecord> = {
  noun: 'record of signatures',
  durable: 'replacing',
  keyOf: record => record.subject,
  parse: parseSignatures,
};

function parseSignatures(fields: JsonObject): SignatureRecord | undefined {
  const { subject, answers } = fields;
  if (!isText(subject) || !isObject(answers)) return undefined;
  const texts = Object.entries(answers).filter((entry): entry is [string, string] => isText(entry[1]));
  return { ...fields, subject, answers: Object.fromEntries(texts) };
}

/** An older version wrote no list of the digests that a root keeps. */
function parseRoot<T extends Partial<Root>>(fields: JsonObject, is: Guard<T>): T | undefined {
  const whole = { holds: [], ...fields };
  return is(whole) ? whole : undefined;
}
