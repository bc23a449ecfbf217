import { closeSync, createReadStream, fstatSync, ftruncateSync, mkdirSync, openSync } from 'node:fs';
import { cloneFile } from '../../linux/io.ts';
import type { Credential } from '../../oci/credential.ts';
import type { Dfdaemon } from '../../ports/dragonfly.ts';
import type { Sink } from '../../ports/registry.ts';
import { ArtifactError, type ErrorCode, errnoOf, toArtifactError } from '../../util/error.ts';
import { type GrowingFile, type OwnedName, setSize } from '../../util/growing-file.ts';
import { createBackoffs, formatTime } from '../../util/pause.ts';
import { openRegular } from '../../util/regular-file.ts';
import type { FileTransfer } from '../api/file-part.ts';
import type { Upstream } from '../config/route.ts';
import type { Clock } from '../http/retry.ts';
import { openDfdaemonLinks } from './dfdaemon-links.ts';

/**
 * Takes blobs of a mirror that is dfdaemon's proxy from dfdaemon's files instead, so that the bytes are on the disk once:
 * dfdaemon links its file into a directory of ours, and the ingest becomes a clone of it, which shares its blocks and
 * not its inode. So dfdaemon cannot write to what is verified here. Where files share no blocks, the ingest becomes
 * that file itself, if the administrator wants that.
 */
export type Handover = Disposable & {
  /**
   * Brings as much of a blob as it can, from its start on; the rest is for the proxy. Nothing if the blob is small, has a
   * beginning, or its rate is bounded, which only the proxy can do; and for a while after dfdaemon failed.
   *
   * @throws `cancelled`.
   */
  bring(blob: FileTransfer, signal: AbortSignal): Promise<void>;
  /** Why it is not used, by registry; one line if it is used for none. */
  problems(): readonly string[];
};

export type HandoverWorld = {
  /** The header that the registry last accepted for a credential; undefined: none. */
  readonly authorizationOf: (upstream: Upstream, credential: Credential) => string | undefined;
  readonly clock: Clock;
  readonly onRest: (rest: {
    readonly mirror: string;
    readonly reason: string;
    readonly restMs: number;
  }) => void;
  /** Milliseconds that dfdaemon may send nothing, if its host has no time of its own. */
  readonly stallMs: number;
};

export type HandoverPlace = {
  /** On the filesystem of the state directory and of dfdaemon's storage, and in dfdaemon's mount of that. */
  readonly directory: string;
  /** Whether files of dfdaemon become those of the cache, if they cannot be cloned. */
  readonly isLinking: boolean;
};

/** The header by which a mirror is dfdaemon's proxy. Its value is the URL of the registry. */
const registryHeader = 'x-dragonfly-registry';
/** Below this size the bytes are here before a task would have started. */
const leastBytes = 1024 * 1024;
const copyBytes = 1024 * 1024;
const byProxy = "blobs come from dfdaemon's proxy";
/** Failures of the registry, or of a manifest: `corrupt` is another size. */
const ofRegistry: ReadonlySet<ErrorCode> = new Set(['not-found', 'unauthenticated', 'denied', 'corrupt']);
/** Errors of a clone between filesystems, or on one that shares no blocks. */
const unshared: ReadonlySet<string> = new Set([
  'EOPNOTSUPP',
  'ENOTSUP',
  'EXDEV',
  'EINVAL',
  'ENOTTY',
  'ENOSYS',
]);

export function openHandover(
  dfdaemon: Dfdaemon,
  { directory, isLinking }: HandoverPlace,
  { authorizationOf, clock, onRest, stallMs }: HandoverWorld,
): Handover {
  let preparing: Promise<void> | undefined;
  const links = openDfdaemonLinks(directory);
  let isClonable = true;
  let unfit: string | undefined;
  /** By registry: a failure of dfdaemon may be one of the registry, and anybody can name one that fails. */
  const backoffs = createBackoffs(clock);

  /** Makes the directory, and tries a clone. */
  const prepare = async (file: GrowingFile): Promise<void> => {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    using link = links.open();
    const empty = openSync(link.path, 'wx+', 0o600);
    try {
      await cloneFile(file.fd, empty);
    } catch (thrown) {
      if (!unshared.has(errnoOf(thrown) ?? '')) throw thrown;
      isClonable = false;
      if (!isLinking)
        unfit = `${directory} and --state-dir are not on one filesystem that shares blocks between files, such as XFS or btrfs (${errnoOf(thrown)}), and --dragonfly-link is off: ${byProxy}`;
    } finally {
      closeSync(empty);
    }
  };

  /** Makes the ingest dfdaemon's file. Returns whether it is; if no file can ever be, says so. */
  const adopt = async (file: GrowingFile, link: OwnedName): Promise<boolean> => {
    try {
      await file.adopt?.(link);
    } catch (thrown) {
      if (errnoOf(thrown) !== 'EXDEV') throw thrown;
      unfit = `${directory} and --state-dir are not in one mount (EXDEV): ${byProxy}`;
      return false;
    }
    file.grown();
    return true;
  };

  const fail = (registry: string, thrown: unknown): void => {
    const failure = toArtifactError(thrown);
    if (ofRegistry.has(failure.code)) return; // the proxy reports it
    const begun = backoffs.begin(registry, failure);
    if (begun === undefined) return;
    onRest({ mirror: `dfdaemon's socket for ${registry}`, reason: failure.message, restMs: begun.ms });
  };

  return {
    async bring(blob, signal) {
      const { upstream, credential, descriptor, sink, transport } = blob;
      const { file } = sink;
      const registry = upstream.headers[registryHeader];
      if (registry === undefined || file === undefined || !isFit(blob)) return;
      if (unfit !== undefined || backoffs.of(registry) !== undefined) return;
      using owned = new DisposableStack();
      const link = owned.use(links.open());
      const { path } = link;
      let came = 0;
      try {
        preparing ??= prepare(file);
        await preparing.catch((thrown: unknown) => {
          preparing = undefined;
          throw thrown;
        });
        if (unfit !== undefined || !(isClonable || isAdopting(file))) return;
        const task = {
          url: `${registry.replace(/\/$/, '')}${upstream.root}/${upstream.path}/blobs/${descriptor.digest}`,
          headers: toHeaders(upstream, authorizationOf(upstream, credential)),
          path,
          silenceMs: upstream.responseMs ?? stallMs,
        };
        /** The ends of pieces that came before one of lower offset, by offset. */
        const ends = new Map<number, number>();
        for await (const news of dfdaemon.download(task, signal)) {
          if (news.kind === 'size') verifySize(news.bytes, descriptor.size, 'corrupt');
          else if (news.length > 0) ends.set(news.offset, news.offset + news.length);
          for (let end = ends.get(came); end !== undefined; end = ends.get(came)) {
            ends.delete(came);
            came = end;
          }
          verifySize(Math.max(came, descriptor.size), descriptor.size);
          // The ingest is empty until it is a clone.
          if (news.kind === 'piece') file.announced?.(came);
        }
        if (came < descriptor.size)
          throw new ArtifactError('unavailable', `dfdaemon ended after ${came} of ${descriptor.size} bytes`);
        if (isClonable) await clone(path, file, descriptor.size, came);
        else if (await adopt(file, link)) owned.move();
        backoffs.reset(registry);
      } catch (thrown) {
        // The pieces without a hole are right, as far as anybody knows: the proxy or the registry continues there.
        const keep = (): Promise<void> =>
          isClonable ? clone(path, file, descriptor.size, came) : copy(path, sink, came, signal);
        const kept = came > 0 && (await isDone(keep()));
        if (!kept) sink.restart();
        signal.throwIfAborted();
        fail(registry, thrown);
        return;
      }
      if (sink.offset < descriptor.size) return;
      owned.dispose(); // so that dfdaemon can free its file meanwhile
      const hex = await transport.hash(signal);
      if (hex !== undefined) file.hashed?.(hex);
    },
    [Symbol.dispose]: () => links[Symbol.dispose](),
    problems() {
      if (unfit !== undefined) return [`--dragonfly-socket is not used: ${unfit}`];
      return backoffs.keys().map(registry => {
        const { until = 0, failure } = backoffs.of(registry) ?? {};
        return `dfdaemon's socket is not used for ${registry} until ${formatTime(until)}: ${failure?.message}`;
      });
    },
  };
}

/** Makes the ingest a clone of the first bytes of dfdaemon's file, whatever it was. */
async function clone(path: string, file: GrowingFile, size: number, bytes: number): Promise<void> {
  const from = openRegular(path);
  try {
    verifySize(fstatSync(from).size, size);
    await cloneFile(file.fd, from);
    if (bytes < size) ftruncateSync(file.fd, bytes);
    setSize(file.state, bytes);
    file.grown();
  } finally {
    closeSync(from);
  }
}

/** Copies the first bytes of dfdaemon's file, which is on a filesystem that shares no blocks. */
async function copy(path: string, sink: Sink, bytes: number, signal: AbortSignal): Promise<void> {
  const range = { start: 0, end: bytes - 1, highWaterMark: copyBytes };
  // The stream closes the file, once no read is under way.
  const source = createReadStream(path, { ...range, fd: openRegular(path), signal });
  for await (const chunk of source) sink.write(chunk as Buffer);
}

function isFit({ descriptor, sink, bucket }: FileTransfer): boolean {
  const isBounded = bucket !== undefined || sink.allowance !== undefined;
  return sink.offset === 0 && descriptor.size >= leastBytes && !isBounded && sink.isAwaited !== true;
}

/** Whether the ingest may become another file. One with two names is being shown. */
function isAdopting({ adopt, fd }: GrowingFile): boolean {
  return adopt !== undefined && fstatSync(fd).nlink === 1;
}

/** Headers for dfdaemon itself are not for the registry. */
function toHeaders(
  { headers }: Upstream,
  authorization: string | undefined,
): Readonly<Record<string, string>> {
  const passed = Object.entries(headers).filter(([name]) => !name.startsWith('x-dragonfly-'));
  return { ...Object.fromEntries(passed), ...(authorization === undefined ? {} : { authorization }) };
}

function verifySize(bytes: number, size: number, code: ErrorCode = 'unavailable'): void {
  if (bytes === size) return;
  throw new ArtifactError(code, `dfdaemon has ${bytes} bytes; the descriptor says ${size}`);
}

function isDone(work: Promise<void>): Promise<boolean> {
  return work.then(
    () => true,
    () => false,
  );
}
