import type { Pod } from './request.ts';

/** What happened to a volume of a pod, for the owner of the pod. */
export type VolumeEvent = {
  readonly pod: Pod;
  readonly targetPath: string;
  readonly type: 'Normal' | 'Warning';
  /** In the style of Kubernetes, such as `Pulled`. */
  readonly reason: string;
  /** Tells failures of one reason apart. Events of one pod, target, reason and kind are one event, which is counted. */
  readonly kind: string;
  readonly message: string;
};

/** Where events of volumes go. */
export type VolumeEvents = {
  /** Takes an event at once, and sends it later or never. It never fails. */
  send(event: VolumeEvent): void;
};

/**
 * What became of an event. `merged`: it repeated one that was not sent yet. `dropped`: too many were waiting, or the API
 * does not take it. `refused`: the daemon may not send events of that namespace.
 */
export type EventOutcome = 'sent' | 'merged' | 'dropped' | 'refused';
