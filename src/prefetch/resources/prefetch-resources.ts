import type { KubeObjects, OpenLease } from '../../ports/kube-objects.ts';
import type { ParseAttributes, PrefetchList, PrefetchRow } from '../../ports/prefetch.ts';
import type { OpenSlots, SlotTimes } from '../../ports/slots.ts';
import { createRequestPace } from '../../util/request-pace.ts';
import { createNodeReport } from './node-report.ts';
import { type NodeRow, toNodeRow } from './node-row.ts';
import { openOwnNode } from './own-node.ts';
import { openPullSecrets } from './pull-secrets.ts';
import { diffLabels, toReadyLabels } from './ready-labels.ts';
import {
  group,
  kinds,
  type PrefetchKind,
  type PrefetchResource,
  parseResource,
  version,
} from './resource.ts';
import { selectsNode, type TakeSlot, toEntries } from './selection.ts';
import { createSummary, summaryLease } from './summary.ts';
import { createWatchedList } from './watched-list.ts';
import { createWorkLoop } from './work-loop.ts';

/** The prefetches of the Kubernetes API, as this node follows them. */
export type PrefetchResources = {
  /** The entries that select this node, after those of the administrator's list. */
  readonly list: PrefetchList;
  /** Why they cannot be followed or reported, one line each. */
  problems(): readonly string[];
  /** Follows and reports until the signal aborts. Never rejects. */
  run(rows: () => readonly PrefetchRow[], signal: AbortSignal): Promise<void>;
};

/** Between the requests of a daemon on average, and those that it may have at once, as it has at its start. */
const requestPace = { everyMs: 5_000, burst: 8 };
/** Between those of the elected one that writes the status of prefetches, ms. */
const electedMs = 500;
/** Of the slots of maxParallelNodes. A slot stays taken between two artifacts of a prefetch. */
const slotTimes: SlotTimes = { seekMs: 5_000, longestSeekMs: 30_000, idleMs: 15_000, stepMs: 1_000 };
/** How often the node looks whether it has something to do, ms. */
const lookMs = 2_000;
/** Prefetches of a kind that a node follows. */
const mostResources = 256;
/** How long the end waits for the API, ms. */
const closeMs = 2_000;

export function openPrefetchResources(world: {
  readonly objects: KubeObjects;
  readonly openLease: OpenLease;
  readonly openSlots: OpenSlots;
  readonly nodeId: string;
  /** Whether the node gets a label for each prefetch that is ready. */
  readonly labels: boolean;
  /** The administrator's list. */
  readonly list: PrefetchList;
  readonly parseAttributes: ParseAttributes;
  readonly note: (text: string) => void;
}): PrefetchResources {
  const { objects, openLease, openSlots, nodeId, parseAttributes, list: file } = world;
  const note = (problem: string): void => world.note(`${prefix}${problem}`);
  // Many daemons start together.
  const pace = createRequestPace({ ...requestPace, startMs: requestPace.everyMs * Math.random() });
  const { turn } = pace;
  const { turn: electedTurn } = createRequestPace({ everyMs: electedMs, burst: 1 });
  const node = openOwnNode(objects, nodeId, turn);
  const report = createNodeReport(objects, nodeId, turn);
  const readSecrets = openPullSecrets(objects, turn);
  const slots = openSlots(uid => `prefetch-${uid}`, slotTimes, pace, note);
  const takeSlot: TakeSlot = (uid, count) => {
    const place = slots.want(uid, count);
    return place.isHeld() ? place.use() : undefined;
  };
  const lease = openLease(summaryLease.name, summaryLease.seconds);
  const summary = createSummary({ objects, lease, turn, electedTurn });
  const lists = (Object.keys(kinds) as PrefetchKind[]).map(kind =>
    createWatchedList<PrefetchResource>(
      { objects, turn, note },
      ['apis', group, version, kinds[kind]],
      object => parseResource(kind, object, parseAttributes),
      mostResources,
    ),
  );

  /** All prefetches; undefined until each kind was listed. */
  const known = (): readonly PrefetchResource[] | undefined => {
    const found = lists.flatMap(list => list.items() ?? []);
    return lists.some(list => list.items() === undefined) ? undefined : found;
  };

  /** Those of a kind that was listed do not wait for the other kind. */
  const selected = (): readonly PrefetchResource[] => {
    const labels = node.known()?.labels;
    if (labels === undefined) return [];
    return lists.flatMap(list => list.items() ?? []).filter(resource => selectsNode(resource, labels));
  };

  let isSettled = false;
  const follow = async (rows: readonly PrefetchRow[], signal: AbortSignal): Promise<void> => {
    const all = known();
    const isNothing = lists.every(list => (list.items()?.length ?? 0) === 0);
    if (isNothing && (all === undefined || isSettled)) return;
    const { uid } = await node.read(signal);
    if (all === undefined) return;
    const byUid = Map.groupBy(rows, ({ entry }) => entry.resource?.uid);
    const prefetches = selected();
    const present = prefetches.map(resource => toNodeRow(resource, byUid.get(resource.uid) ?? []));
    const told = await report.write(present, uid, signal);
    const change = world.labels ? changeOf(prefetches, told) : undefined;
    if (change !== undefined) await node.label(change, signal);
    isSettled = all.length === 0 && report.isWritten() && change === undefined;
  };

  const changeOf = (prefetches: readonly PrefetchResource[], rows: readonly NodeRow[]) => {
    const shown = prefetches.flatMap((resource, index) => {
      const row = rows[index];
      return row === undefined ? [] : [{ resource, row }];
    });
    return diffLabels(node.known()?.labels ?? {}, toReadyLabels(shown));
  };

  let rowsOf: () => readonly PrefetchRow[] = () => [];
  const loops = [
    ...lists,
    createWorkLoop(signal => follow(rowsOf(), signal).then(() => lookMs), note),
    createWorkLoop(signal => summary(known() ?? [], signal), note),
  ];

  return {
    list: {
      entries: () => [
        ...(file.entries() ?? []),
        ...selected().flatMap(resource => toEntries(resource, readSecrets, takeSlot)),
      ],
      isPartial: () =>
        file.entries() === undefined || node.known() === undefined || lists.some(list => list.isPartial()),
    },
    problems() {
      const found = [...loops.map(loop => loop.problem()), slots.trouble()?.why];
      return [...new Set(found.flatMap(text => text ?? []))].map(text => `${prefix}${text}`);
    },
    async run(rows, signal) {
      rowsOf = rows;
      await Promise.all(loops.map(loop => loop.run(signal)));
      const ends = [slots[Symbol.asyncDispose](), lease.release(AbortSignal.timeout(closeMs))];
      await Promise.allSettled(ends);
    },
  };
}

const prefix = 'prefetches of the Kubernetes API: ';
