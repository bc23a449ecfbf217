import { fieldAt, isObject } from '../../util/json.ts';
import type { NodeRow } from './node-row.ts';
import { group, version } from './resource.ts';

/** The path of the NodeArtifacts of a node, or of all. */
export function nodeArtifactsPath(name?: string): readonly string[] {
  return ['apis', group, version, 'nodeartifacts', ...(name === undefined ? [] : [name])];
}

/** @param uid that of the node: its NodeArtifacts goes with it. */
export function toNodeArtifacts(name: string, uid: string, rows: readonly NodeRow[]): object {
  const ready = rows.filter(({ state }) => state === 'Ready').length;
  return {
    apiVersion: `${group}/${version}`,
    kind: 'NodeArtifacts',
    metadata: { name, ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid }] },
    status: { ready, selected: rows.length, prefetches: rows },
  };
}

/** The rows of a NodeArtifacts object. What is no row is left out. */
export function parseNodeRows(object: unknown): readonly NodeRow[] {
  const rows = fieldAt(object, 'status', 'prefetches');
  return Array.isArray(rows) ? rows.filter(isNodeRow) : [];
}

function isNodeRow(row: unknown): row is NodeRow {
  if (!isObject(row)) return false;
  const texts = ['uid', 'state'].every(key => typeof row[key] === 'string');
  return texts && ['generation', 'bytes', 'totalBytes'].every(key => typeof row[key] === 'number');
}
