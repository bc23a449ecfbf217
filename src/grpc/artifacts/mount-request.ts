import type { PublishRequest, PullRequest } from '../../ports/request.ts';
import { parseAttributes } from '../../volume/attributes.ts';
import { toMountRequest } from '../../volume/manual-mount.ts';
import { parseTargetPath } from '../csi/publish-request.ts';
import type { MountRequest__Output } from '../wire/ociartifact/v1/MountRequest.ts';
import type { PullRequest__Output } from '../wire/ociartifact/v1/PullRequest.ts';

/** Parses the pull of a user. @throws ArtifactError `invalid` by the rules of the volume attributes. */
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
  // proto3 does not distinguish an empty field from an absent one.
  const given = Object.entries(fields).filter((field): field is [string, string] => Boolean(field[1]));
  return { ...parseAttributes(Object.fromEntries(given)), secrets: secrets ?? {}, caller: 'administrator' };
}

/** Parses the mount of a user. @throws ArtifactError `invalid`. */
export function parseMountRequest(wire: MountRequest__Output): PublishRequest {
  return toMountRequest(parseTargetPath(wire.target, 'target'), parsePullRequest(wire.artifact));
}
