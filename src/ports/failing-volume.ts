import type { ErrorCode } from '../util/error.ts';
import type { Pod, PublishRequest } from './request.ts';

/** A volume that kubelet asks for, as far as its request could be read. An empty reference: it names none. */
export type AskedVolume = Pick<PublishRequest, 'targetPath' | 'reference' | 'secrets' | 'pod'>;

/** A volume that kubelet asks for, and that could not be published. Times are in milliseconds since 1970. */
export type FailingVolume = {
  readonly targetPath: string;
  /** Absent if kubelet did not name it. */
  readonly pod?: Pod;
  /** As the pod has it; empty if it names none. Its end is missing if it is long. */
  readonly reference: string;
  /** The code and the message of the last failure. The end of a long message is missing. */
  readonly code: ErrorCode;
  readonly message: string;
  /** When it failed first, and last. */
  readonly since: number;
  readonly failedAt: number;
  /** How often it has failed since the first time. */
  readonly failures: number;
};
