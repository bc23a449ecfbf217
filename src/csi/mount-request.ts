import { createHash } from 'node:crypto';
import type { PublishRequest, PullRequest } from '../volume/request.ts';
import { parseAttributes } from './attributes.ts';
import { parseTargetPath } from './publish-request.ts';
import type { MountRequest__Output } from './wire/ociartifact/v1/MountRequest.ts';
import type { PullRequest__Output } from './wire/ociartifact/v1/PullRequest.ts';

/** A pull as a person asks for it. @throws ArtifactError `invalid` by the rules of the volume attributes. */
export function parsePullRequest(wire: PullRequest__Output | null): PullRequest {
  const { reference, pull_policy, platform, unpack, sub_path, include, exclude, secrets } = wire ?? {};
  const fields = {
    reference,
    pullPolicy: pull_policy,
    platform,
    unpack,
    subPath: sub_path,
    include,
    exclude,
  };
  // An empty field is an absent one: proto3 knows no difference.
  const given = Object.entries(fields).filter((field): field is [string, string] => Boolean(field[1]));
  return { ...parseAttributes(Object.fromEntries(given)), secrets: secrets ?? {} };
}

/** A volume that is no pod's: one for each folder, whoever mounts it again. @throws ArtifactError `invalid`. */
export function parseMountRequest(wire: MountRequest__Output): PublishRequest {
  const targetPath = parseTargetPath(wire.target, 'target');
  const pull = parsePullRequest(wire.artifact);
  const { reference, pullPolicy, platform, selection } = pull;
  return {
    ...pull,
    volumeId: `mount-${createHash('sha256').update(targetPath).digest('hex').slice(0, 32)}`,
    targetPath,
    anywhere: true,
    mountFlags: [],
    fingerprint: JSON.stringify({ reference, pullPolicy, platform, selection }),
  };
}
