import type { Settings } from './settings.ts';
import { parseBoolean } from './values.ts';

/** A flag. The key `driverName` is `--driver-name`, and OCI_ARTIFACT_DRIVER_NAME unless `variable` names another. */
export type Flag<T = unknown> = {
  readonly value: string;
  readonly says: string;
  readonly preset: string;
  readonly parse: (text: string) => T;
  readonly variable?: string;
};

/** The flags of some settings. */
export type Flags<Key extends keyof Settings = keyof Settings> = { readonly [K in Key]: Flag<Settings[K]> };

export function offByDefault(says: string): Flag<boolean> {
  return { value: '[BOOL]', says, preset: 'false', parse: parseBoolean };
}
