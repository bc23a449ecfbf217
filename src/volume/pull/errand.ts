import type { Digest } from '../../oci/digest.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import type { LayerForm } from '../../tree/toc.ts';
import type { Tenants } from '../../util/fair-slots.ts';
import type { AdmittedContent } from '../access/admitted-content.ts';
import type { HashingSink } from '../sinks/hashing-sink.ts';

/** Where layers come from, and for which tenants. */
export type Errand = {
  readonly content: AdmittedContent;
  readonly tenants: Tenants;
  /**
   * Called when bytes of a layer arrive, and with 0 bytes when more are announced. Before that, the pull must not reveal
   * what is cached of it.
   */
  readonly came: (layer: LayerPlan, bytes: number) => void;
  /** The hashes of cached layers that are downloaded again to prove access, kept while the pull waits. */
  readonly proofs: Map<Digest, HashingSink>;
  /** The form in which tar layers are stored. */
  readonly form: LayerForm;
  /** As `Sink.isAwaited`. */
  readonly isAwaited?: boolean;
};
