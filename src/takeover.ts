import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Settings } from './cli/settings.ts';
import { type BoundSocket, bindSocket, type Takeover } from './grpc/edge/socket.ts';
import type { Node } from './node.ts';
import { openTurn } from './store/ground.ts';
import { readHolder } from './store/lock.ts';
import { type Turn, turnEveryMs } from './store/turn.ts';
import { type ErrorCode, toArtifactError } from './util/error.ts';

/** What a daemon has for itself on its node. Disposing closes the state; the socket belongs to its server. */
export type Station = AsyncDisposable & {
  readonly turn: Turn;
  readonly socket: BoundSocket;
  readonly node: Node;
};

/** The configuration of a standby, opened to know what is wrong with it. */
export type Rehearsal = AsyncDisposable & { obstacles(): readonly string[] };

export type Standby = {
  /** What this daemon waits for; undefined for one that does not wait. */
  waitsFor(): string | undefined;
  /** What this daemon would refuse with its configuration if it took over now; undefined as waitsFor. */
  obstacles(): readonly string[] | undefined;
  begin(reason: () => string): void;
  end(): void;
};

const unread = ['the configuration is being read'];

/**
 * Logs when a daemon begins to wait, and when it takes over. `rehearse` opens its configuration meanwhile: a daemon that
 * would refuse volumes must not replace one that serves them.
 */
export function createStandby(log: Pick<Logger, 'info'>, rehearse: () => Promise<Rehearsal>): Standby {
  let waiting: (() => string) | undefined;
  let obstacles = (): readonly string[] => unread;
  let close = async (): Promise<void> => {};

  const open = async (reason: () => string): Promise<void> => {
    const opened = await rehearse().catch((thrown: unknown) => {
      const failure = [toArtifactError(thrown).message];
      return { obstacles: () => failure, async [Symbol.asyncDispose]() {} };
    });
    const end = async (): Promise<void> => {
      await Promise.resolve(opened[Symbol.asyncDispose]()).catch(() => {}); // nothing of it is used any more
    };
    if (waiting === undefined) return await end();
    obstacles = opened.obstacles;
    close = end;
    log.info(`standby: ${reason()}; then this daemon takes over at once`);
  };

  return {
    waitsFor: () => waiting?.(),
    obstacles: () => waiting && obstacles(),
    begin(reason) {
      const isNew = waiting === undefined;
      waiting = reason;
      if (isNew) void open(reason);
    },
    end() {
      if (waiting === undefined) return;
      log.info('taking over');
      waiting = undefined;
      obstacles = () => unread;
      void close();
      close = async () => {};
    },
  };
}

/**
 * Takes the turn, the socket and the state of a node. With --register, what another process has is waited for, so that
 * a DaemonSet can start a new pod before it ends the old one; otherwise it is an error.
 *
 * The predecessor gives its turn away as soon as it is asked to stop. Its socket is replaced at once, and calls wait
 * there until it has closed the state.
 *
 * @throws ArtifactError `busy` or `exists` for what another process has; `cancelled`.
 */
export async function takeOver(
  { stateDir, endpoint, register }: Settings,
  open: () => Promise<Node>,
  standby: Standby,
  signal: AbortSignal,
): Promise<Station> {
  await using stack = new AsyncDisposableStack();
  const bind = async (takeover: Takeover): Promise<BoundSocket> => {
    const socket = await bindSocket(endpoint, takeover);
    stack.defer(socket.release);
    return socket;
  };
  const holder = (): string => `waits for ${readHolder(stateDir)} to end, which has ${stateDir}`;
  const server = (): string => `waits for the server that answers on ${endpoint} to end`;
  const begin = (): void => standby.begin(holder);
  const pause = (): Promise<void> => sleep(turnEveryMs, undefined, { signal });
  const isHeld = (thrown: unknown, code: ErrorCode): boolean =>
    register && toArtifactError(thrown).code === code;

  const turn = stack.use(await openTurn(stateDir, register ? { begin, signal } : undefined));
  let socket = turn.waited ? await bind('always') : undefined;
  const untilFree = async (): Promise<void> => {
    begin();
    while (!turn.isStateFree()) await pause();
    standby.end();
  };
  if (turn.waited) await untilFree();
  let node: Node | undefined;
  while (node === undefined) {
    try {
      node = await open();
    } catch (thrown) {
      if (!isHeld(thrown, 'busy')) throw thrown;
      await pause();
      await untilFree();
    }
  }
  stack.defer(node.close);
  while (socket === undefined) {
    try {
      socket = await bind('if-silent');
    } catch (thrown) {
      if (!isHeld(thrown, 'exists')) throw thrown;
      standby.begin(server);
      await pause();
    }
  }
  standby.end();
  const held = stack.move();
  return { turn, socket, node, [Symbol.asyncDispose]: () => held.disposeAsync() };
}
