import type { Table } from '../../configfile/field.ts';
import { suggest } from '../../util/near.ts';

/**
 * Returns the keys of a table that this driver does not use, each with a likely correction: `registry.locatoin (did you
 * mean location?)`.
 */
export function listUnused(table: Table, prefix: string, used: readonly string[]): readonly string[] {
  return table.keys.filter(key => !used.includes(key)).map(key => `${prefix}${key}${suggest(key, used)}`);
}
