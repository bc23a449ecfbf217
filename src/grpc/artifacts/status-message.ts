import { parseDigest } from '../../oci/digest.ts';
import type { DaemonStatus, NodeStatus } from '../../ports/node-status.ts';
import type { PrefetchState, PrefetchStatus } from '../../ports/prefetch.ts';
import type {
  GetStatusResponse,
  GetStatusResponse__Output,
} from '../wire/ociartifact/v1/GetStatusResponse.ts';
import type { Prefetch__Output } from '../wire/ociartifact/v1/Prefetch.ts';
import { fromFailing, toFailing } from './failing-message.ts';

const prefetchStates = {
  waiting: 'WAITING',
  pulling: 'PULLING',
  ready: 'READY',
  failed: 'FAILED',
  elsewhere: 'ELSEWHERE',
} as const;
const registrations = { off: 'OFF', waiting: 'WAITING', registered: 'REGISTERED' } as const;

export function fromNodeStatus({
  stateDir,
  disk,
  cacheBytes,
  problems,
  facts,
  daemon,
  prefetch,
  failing,
}: NodeStatus): GetStatusResponse {
  return {
    version: daemon?.version ?? '',
    driver_name: daemon?.driverName ?? '',
    state_dir: stateDir,
    not_ready: [...(daemon?.notReady ?? [])],
    problems: [...problems],
    facts: [...facts],
    registration: daemon === undefined ? 'UNKNOWN' : registrations[daemon.registration],
    cache_bytes: cacheBytes,
    prefetch: prefetch.map(({ reference, state, digest = '', problem = '', nextAt = 0 }) => ({
      reference,
      state: prefetchStates[state],
      digest,
      problem,
      next_at: nextAt,
    })),
    failing: failing.map(fromFailing),
    disk: {
      total_bytes: disk.totalBytes,
      used_bytes: disk.usedBytes,
      available_bytes: disk.availableBytes,
      total_inodes: disk.totalInodes,
      used_inodes: disk.usedInodes,
    },
  };
}

/** A daemon that answers exists. */
export function toNodeStatus(wire: GetStatusResponse__Output): NodeStatus {
  const { version, driver_name: driverName, not_ready: notReady, registration, disk } = wire;
  return {
    stateDir: wire.state_dir,
    problems: wire.problems,
    facts: wire.facts,
    cacheBytes: wire.cache_bytes,
    disk: {
      totalBytes: disk?.total_bytes ?? 0,
      usedBytes: disk?.used_bytes ?? 0,
      availableBytes: disk?.available_bytes ?? 0,
      totalInodes: disk?.total_inodes ?? 0,
      usedInodes: disk?.used_inodes ?? 0,
    },
    daemon: { version, driverName, notReady, registration: toRegistration(registration) },
    prefetch: wire.prefetch.map(toPrefetchStatus),
    failing: wire.failing.map(toFailing),
  };
}

function toRegistration(wire: GetStatusResponse__Output['registration']): DaemonStatus['registration'] {
  switch (wire) {
    case 'REGISTERED':
      return 'registered';
    case 'WAITING':
      return 'waiting';
    case 'OFF':
    case 'UNKNOWN':
      return 'off';
  }
}

function toPrefetchStatus({
  reference,
  state,
  digest,
  problem,
  next_at: nextAt,
}: Prefetch__Output): PrefetchStatus {
  return {
    reference,
    state: toPrefetchState(state),
    ...(digest === '' ? {} : { digest: parseDigest(digest) }),
    ...(problem === '' ? {} : { problem }),
    ...(nextAt === 0 ? {} : { nextAt }),
  };
}

function toPrefetchState(wire: Prefetch__Output['state']): PrefetchState {
  switch (wire) {
    case 'PULLING':
      return 'pulling';
    case 'READY':
      return 'ready';
    case 'FAILED':
      return 'failed';
    case 'ELSEWHERE':
      return 'elsewhere';
    case 'WAITING':
    case 'UNKNOWN':
      return 'waiting';
  }
}
