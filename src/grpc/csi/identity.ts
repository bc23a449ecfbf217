import { type Edge, unary } from '../edge/call.ts';
import type { IdentityHandlers } from '../wire/csi/v1/Identity.ts';

export type Identity = {
  /** The name of the CSIDriver object. */
  readonly driverName: string;
  readonly version: string;
  /** Whether volumes can be published now. */
  readonly ready: () => boolean;
};

/** csi.v1.Identity. It has no capabilities: there is no controller, and every node can mount a volume. */
export function identityHandlers(edge: Edge, { driverName, version, ready }: Identity): IdentityHandlers {
  return {
    GetPluginInfo: unary(edge, async () => ({ name: driverName, vendor_version: version })),
    GetPluginCapabilities: unary(edge, async () => ({})),
    Probe: unary(edge, async () => ({ ready: { value: ready() } })),
  };
}
