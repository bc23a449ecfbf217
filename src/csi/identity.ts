import { ArtifactError } from '../util/error.ts';
import { type Edge, unary } from './unary.ts';
import type { IdentityHandlers } from './wire/csi/v1/Identity.ts';

export type Identity = {
  /** As in the CSIDriver object. */
  readonly driverName: string;
  readonly version: string;
  /** Whether volumes can be published now. */
  readonly ready: () => boolean;
};

/** @throws ArtifactError `invalid` for what GetPluginInfo must not answer (CSI 1.12): 63 characters, a letter or digit at both ends. */
export function parseDriverName(text: string): string {
  if (/^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/i.test(text)) return text;
  throw new ArtifactError(
    'invalid',
    `"${text}" is not a driver name: 1 to 63 letters, digits, dots and dashes, with no dot or dash at the ends`,
  );
}

/** csi.v1.Identity. No capabilities: there is no controller, and a volume is as good on one node as on another. */
export function identityHandlers(edge: Edge, { driverName, version, ready }: Identity): IdentityHandlers {
  const name = parseDriverName(driverName);
  return {
    GetPluginInfo: unary(edge, async () => ({ name, vendor_version: version })),
    GetPluginCapabilities: unary(edge, async () => ({})),
    Probe: unary(edge, async () => ({ ready: { value: ready() } })),
  };
}
