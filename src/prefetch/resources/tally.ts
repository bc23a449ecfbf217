import type { NodeRow } from './node-row.ts';

/** What all nodes say about one prefetch. Lists of nodes are bounded; the counts are of all. */
export type Tally = {
  readonly nodes: { selected: number; ready: number; pulling: number; waiting: number; failed: number };
  bytes: number;
  totalBytes: number;
  readonly pulling: { readonly node: string; readonly bytes: number; readonly totalBytes: number }[];
  readonly failed: { readonly node: string; readonly message: string }[];
  /** One of those that wait and say why. */
  waiting: { readonly node: string; readonly message: string } | undefined;
};

/** Nodes that are named, of each state. */
const mostNamed = 20;

export function emptyTally(): Tally {
  const nodes = { selected: 0, ready: 0, pulling: 0, waiting: 0, failed: 0 };
  return { nodes, bytes: 0, totalBytes: 0, pulling: [], failed: [], waiting: undefined };
}

/** @param generation the present one: what a node says about an earlier one does not count. */
export function addNodeRow(tally: Tally, node: string, row: NodeRow, generation: number): void {
  const state = row.generation < generation ? 'Waiting' : row.state;
  tally.nodes.selected++;
  switch (state) {
    case 'Ready':
      tally.nodes.ready++;
      return;
    case 'Waiting':
      tally.nodes.waiting++;
      if (row.state === 'Waiting' && row.message !== undefined)
        tally.waiting ??= { node, message: row.message };
      return;
    case 'Pulling': {
      tally.nodes.pulling++;
      tally.bytes += row.bytes;
      tally.totalBytes += row.totalBytes;
      const { bytes, totalBytes } = row;
      if (tally.pulling.length < mostNamed) tally.pulling.push({ node, bytes, totalBytes });
      return;
    }
    case 'Failed':
      tally.nodes.failed++;
      if (tally.failed.length < mostNamed) tally.failed.push({ node, message: row.message ?? '' });
      return;
    default:
      state satisfies never;
  }
}
