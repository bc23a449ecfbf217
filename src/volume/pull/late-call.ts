import type { Origin } from '../../ports/publishing.ts';
import type { PullRequest } from '../../ports/request.ts';
import type { View } from '../../ports/store.ts';
import type { Progress, Wanter } from '../../ports/usecases.ts';
import type { AdmittedContent } from '../access/admitted-content.ts';
import type { Flight, FlightCaller } from './single-flight.ts';
import type { ViewPlan } from './view-plan.ts';

/** One call for a late view. `record` names its content. */
export type LateCall = {
  readonly request: PullRequest;
  readonly viewPlan: ViewPlan;
  readonly content: AdmittedContent;
  readonly caller: FlightCaller<Progress, Wanter>;
  readonly record: () => Promise<void>;
};

/** A late view, which stays at least until this is disposed. */
export type LateUse = Disposable & { readonly view: View; readonly origin: Origin };

/** What a pull needs of loading on demand. */
export type LatePull = {
  /**
   * Joins the late view of the same content and credential, or starts one. Undefined if all large layers are here, or if
   * this node cannot load on demand: it is pulled as a whole then.
   */
  open(call: LateCall, signal: AbortSignal): Promise<LateUse | undefined>;
  /** Loads again all of the late views whose complete view has this key, although they were cancelled. */
  release(key: string): void;
  list(): readonly Flight<Progress, Wanter>[];
  /** Ends all work. Mounts stay, and a later process continues. */
  stop(): Promise<void>;
};
