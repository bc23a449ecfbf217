import type { FailingVolume } from '../../ports/failing-volume.ts';
import { parseErrorCode } from '../edge/status.ts';
import type {
  FailingVolume__Output,
  FailingVolume as WireFailing,
} from '../wire/ociartifact/v1/FailingVolume.ts';
import { fromPod, toPod } from './pod-message.ts';

export function fromFailing(volume: FailingVolume): WireFailing {
  const { targetPath, pod, reference, code, message, since, failedAt, failures } = volume;
  return {
    target_path: targetPath,
    pod: fromPod(pod),
    reference,
    code,
    message,
    since,
    failed_at: failedAt,
    failures,
  };
}

export function toFailing(wire: FailingVolume__Output): FailingVolume {
  const { target_path: targetPath, pod, reference, code, message, since, failures } = wire;
  return {
    targetPath,
    ...(pod === null ? {} : { pod: toPod(pod) }),
    reference,
    code: parseErrorCode(code) ?? 'internal', // a newer daemon may have more codes
    message,
    since,
    failedAt: wire.failed_at,
    failures,
  };
}
