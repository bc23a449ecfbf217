import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { describeUnknown } from './cli/command-line.ts';
import { createDaemonLog } from './cli/daemon-log.ts';
import { exitCodes } from './cli/exit.ts';
import type { Settings } from './cli/settings.ts';
import { toNote } from './configfile/watched-file.ts';
import { openRehearsal } from './configuration.ts';
import { toGrpcCode } from './grpc/edge/status.ts';
import { hostEndpoint, serveRegistration } from './grpc/registration.ts';
import { serveCsi } from './grpc/server.ts';
import { serveLate } from './http/late-server.ts';
import { createMetrics } from './http/metrics.ts';
import { servePage } from './http/page/page-server.ts';
import type { PageUseCases } from './http/page/page-state.ts';
import { type Pages, serveProbes } from './http/probes.ts';
import { openCluster } from './kube/cluster.ts';
import { openEventApi } from './kube/event-api.ts';
import { openEventSender } from './kube/event-sender.ts';
import { returnMemory } from './linux/memory.ts';
import type { Node } from './node.ts';
import { serveSharing } from './optional-parts.ts';
import type { DiskUsage } from './ports/disk.ts';
import type { DaemonStatus, NodeStatus } from './ports/node-status.ts';
import { outliveRejections } from './rejections.ts';
import { type End, limitStop } from './shutdown.ts';
import { watchLock } from './store/lock.ts';
import { createStandby, takeOver } from './takeover.ts';
import { ArtifactError, toArtifactError } from './util/error.ts';
import { version } from './util/version.ts';
import { openNode } from './wiring.ts';

/** How long a predecessor may need to end, and to give up an address on the host's network. */
const predecessorMs = 15_000;
/** How long a stopping daemon serves on until a standby has taken the socket. */
const takenWithinMs = 2_000;

/**
 * Runs the daemon until SIGTERM or SIGINT, and answers the exit code: 0, 1 if kubelet refused the driver, or the code
 * of the reason why it could not start, which is the last line of its log. Stopping finishes short calls, leaves pulls
 * resumable and mounts in place, and removes the sockets, unless a standby takes them over.
 */
export async function serve(settings: Settings, end: End): Promise<number> {
  const { log, dropped } = createDaemonLog(settings);
  const stack = new AsyncDisposableStack();
  try {
    return await run(settings, log, dropped, end, stack);
  } catch (thrown) {
    const { code, message } = toArtifactError(thrown);
    const isAsked = end.signal.aborted && code === 'cancelled';
    using _late = limitStop(log, isAsked ? 0 : exitCodes[code]);
    await stack.disposeAsync();
    if (isAsked) log.info('stopped');
    else log.fatal({ code }, message);
    return isAsked ? 0 : exitCodes[code];
  }
}

/**
 * Runs the daemon with what it opens on the stack, which the caller disposes if it throws.
 *
 * @throws ArtifactError if it cannot start; `cancelled` if it was a standby until its end.
 */
async function run(
  settings: Settings,
  log: Logger,
  dropped: () => number,
  end: End,
  stack: AsyncDisposableStack,
): Promise<number> {
  const { nodeId, stateDir, kubeletDir, httpListen, pageListen, register } = settings;
  log.info({ version, node: nodeId, stateDir, kubeletDir }, 'the daemon starts');
  for (const text of describeUnknown(process.env)) log.warn(text);
  process.on('SIGHUP', () => log.info(hupped));
  const rejections = stack.use(outliveRejections(log));
  const standby = createStandby(log, () => openRehearsal(settings, log, cluster));
  const started = performance.now();
  const missing = new Set(['the cache is being opened']);
  const checks: (() => string | undefined)[] = [];
  const broken = (): readonly string[] => checks.flatMap(check => check() ?? []);
  let node: Node | undefined;
  let openedAt: number | undefined;
  /** Why there is no status page. Volumes do not need one, and another process may have its address. */
  let pageProblem: string | undefined;
  let sharingProblem = (): string | undefined => undefined;
  const withOwn = (texts: readonly string[] = []): readonly string[] =>
    texts.concat(pageProblem ?? [], sharingProblem() ?? []);
  const problems = (): readonly string[] => withOwn(node?.problems());
  const reasons = (): readonly string[] =>
    standby.obstacles() ?? (missing.size > 0 ? [...missing] : [...broken(), ...(node?.obstacles() ?? [])]);

  stack.use(returnMemory(returned => log.debug(returned, 'memory was returned to the system')));
  const metrics = createMetrics(settings.driverName, {
    phase: () => (standby.waitsFor() !== undefined ? 'standby' : node === undefined ? 'opening' : 'open'),
    cacheBytes: async () => node?.cacheBytes() ?? 0,
    disk: async () => node?.diskUsage() ?? noDisk,
    volumes: async () => node?.artifacts.volumes() ?? [],
    pulls: async () => node?.artifacts.pulls() ?? [],
    problems,
    droppedLines: dropped,
    unhandledRejections: rejections.count,
    isSealed: () => node?.isSealed ?? false,
    imagesOff: () => (node === undefined ? 'the node is not open' : node.imagesOff),
    origins: () => node?.origins(),
    onDemand: () => node?.onDemand(),
    prefetch: () => node?.prefetch() ?? [],
    failing: () => (node?.failing() ?? []).map(({ code }) => toGrpcCode(code)),
  });
  const lateness = {
    isPatient: () =>
      register &&
      (standby.waitsFor() !== undefined || performance.now() - (openedAt ?? started) < predecessorMs),
    onFailure: end.fail,
  };
  if (httpListen !== undefined) {
    const pages: Pages = {
      standby: standby.waitsFor,
      broken,
      ready: reasons,
      notes: async () => withOwn(await node?.notes()),
      facts: () => node?.facts() ?? [],
      metrics,
    };
    const onServing = (port: number): void => log.info({ port }, 'serving /healthz, /readyz and /metrics');
    stack.use(await serveLate(() => serveProbes(httpListen, pages), { ...lateness, onServing }));
  }
  let useCases: PageUseCases | undefined;
  if (pageListen !== undefined) {
    const onServing = (port: number): void => log.info({ port }, 'serving the status page');
    const page = {
      nodeId: settings.nodeId,
      useCases: () => useCases ?? standby.waitsFor() ?? 'the cache is being opened',
    };
    const onFailure = (thrown: unknown): undefined => {
      pageProblem = `there is no status page: ${toArtifactError(thrown).message}`;
      log.error(pageProblem);
    };
    const serving = serveLate(() => servePage(pageListen, page), { ...lateness, onServing, onFailure });
    stack.use(await serving.catch(onFailure));
  }
  if (!existsSync(settings.kubeletDir)) {
    log.warn(
      `${settings.kubeletDir} does not exist, and no pod gets a volume until it does; check --kubelet-dir`,
    );
  }
  const warn = toNote(log);
  const cluster = stack.use(await openCluster(settings, warn));
  const sending = settings.events ? cluster : undefined;
  const events =
    sending &&
    stack.use(
      openEventSender({ api: openEventApi(sending), host: settings.nodeId, count: metrics.podEvent, warn }),
    );
  const open = (): Promise<Node> =>
    openNode(settings, log, metrics, { events, cluster, holder: settings.holder });
  const station = stack.use(await takeOver(settings, open, standby, end.signal).catch(refuse));
  openedAt = performance.now();
  node = station.node;
  const told = node.problems();
  for (const obstacle of node.obstacles().filter(text => !told.includes(text))) log.error(obstacle);
  checks.push(watchLock(stateDir), node.expired);
  const edge = { log, observe: metrics.operation, driverName: settings.driverName };
  let registration = (): DaemonStatus['registration'] => 'off';
  const status = async (): Promise<NodeStatus> => {
    const found = await station.node.artifacts.status();
    return {
      ...found,
      problems: withOwn(found.problems),
      daemon: {
        version,
        driverName: settings.driverName,
        notReady: reasons(),
        registration: registration(),
      },
    };
  };
  const artifacts = { ...node.artifacts, status };
  const driver = stack.use(
    serveCsi({
      ...node,
      artifacts,
      ...edge,
      socket: station.socket,
      nodeId: settings.nodeId,
      version,
      ready: () => reasons().length === 0,
    }),
  );
  log.info({ endpoint: settings.endpoint }, 'serving CSI and ociartifact.v1 on the socket');
  checks.push(driver.problem);
  missing.clear();
  useCases = artifacts;
  if (settings.containerdSocket !== undefined && node.sharing !== undefined)
    sharingProblem = stack.use(await serveSharing(settings.containerdSocket, node.sharing, log)).problem;
  node.startWork();
  let leave = (): void => {};
  if (register) {
    const options = {
      ...edge,
      kubeletDir: settings.kubeletDir,
      endpoint: hostEndpoint(settings),
      inherited: station.turn.inherited,
      noteRegistered: station.turn.noteRegistered,
      onRefused: end.fail,
    };
    const kubelet = stack.use(await serveRegistration(options));
    checks.push(kubelet.problem);
    registration = () => (kubelet.isRegistered() ? 'registered' : 'waiting');
    leave = kubelet.leave;
  }

  const failure = await end.reason;
  missing.add('the daemon is stopping');
  log.info('stopping');
  if (failure !== undefined) log.error(failure.message);
  using _late = limitStop(log, failure === undefined ? 0 : 1);
  if (station.turn.give()) {
    station.socket.leave(); // however late the standby is, its socket is not removed
    if (await waitFor(() => driver.problem() !== undefined, takenWithinMs)) {
      log.info('a standby has taken the socket');
      leave();
      await driver.handOver();
    }
  }
  await stack.disposeAsync();
  log.info('stopped');
  return failure === undefined ? 0 : 1;
}

/** Whether a condition holds within this time. */
async function waitFor(condition: () => boolean, ms: number): Promise<boolean> {
  const until = performance.now() + ms;
  while (!condition() && performance.now() < until) await sleep(10);
  return condition();
}

/** The exit code is the same for each resource that another daemon has: state directory, socket or address. */
function refuse(thrown: unknown): never {
  const { code, message } = toArtifactError(thrown);
  throw code === 'busy' ? new ArtifactError('exists', message, thrown) : thrown;
}

const hupped = 'SIGHUP is ignored: configuration files are read again when they change, flags at a start';

const noDisk: DiskUsage = { totalBytes: 0, usedBytes: 0, availableBytes: 0, totalInodes: 0, usedInodes: 0 };
