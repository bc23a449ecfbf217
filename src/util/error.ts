import { quoteName } from './name.ts';
import { printable } from './printable.ts';

/**
 * The reasons of failures, as a closed set. Each code has one gRPC status (grpc/edge/status.ts) and one exit code
 * (cli/exit.ts); nothing else in the program decides either.
 *
 * - `invalid`: the caller's request is wrong, whatever the state of the node.
 * - `exists`: the target has another volume.
 * - `not-found`: no such artifact, tag, digest or volume.
 * - `unauthenticated`: the registry requires credentials and none match.
 * - `denied`: the registry, a policy or the configuration refuses.
 * - `unmountable`: the artifact itself cannot become a volume.
 * - `corrupt`: bytes that do not match their descriptor; a retry may return the right ones.
 * - `unavailable`: a registry that cannot be reached, or a daemon that is stopping.
 * - `busy`: work is in progress; the same call joins it later.
 * - `cancelled`: the caller aborted.
 * - `exhausted`: the disk of the cache is full.
 * - `unimplemented`: not part of this driver.
 * - `internal`: an I/O error or a bug.
 */
export type ErrorCode =
  | 'invalid'
  | 'exists'
  | 'not-found'
  | 'unauthenticated'
  | 'denied'
  | 'unmountable'
  | 'corrupt'
  | 'unavailable'
  | 'busy'
  | 'cancelled'
  | 'exhausted'
  | 'unimplemented'
  | 'internal';

/**
 * The one error class of this program. The message says what failed, on what, why, and what to do. It is one line that
 * is safe to print anywhere, whatever text of a registry or a file it contains.
 */
export class ArtifactError extends Error {
  override readonly name = 'ArtifactError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, cause?: unknown) {
    super(printable(message), cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/**
 * Refuses a value that somebody wrote: `<at>: invalid <noun> "<as written>": <why>`. `why` is `must be …` or the reason,
 * and then what to write. `at` names a flag, or file, line and field.
 */
export function invalidValue(noun: string, text: string, why: string, at?: string): ArtifactError {
  const where = at === undefined ? '' : `${at}: `;
  return new ArtifactError('invalid', `${where}invalid ${noun} ${quoteName(text)}: ${why}`);
}

/** Returns the first error of a class among an error and its causes. */
export function findCause<T extends Error>(
  thrown: unknown,
  type: abstract new (...args: never[]) => T,
): T | undefined {
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if (error instanceof type) return error;
  }
  return undefined;
}

const full = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);
const fullDisk = 'the disk of the cache is full';

/**
 * Converts anything thrown to an ArtifactError. It never throws: a full disk is `exhausted`, an abort `cancelled`, the
 * rest `internal`.
 */
export function toArtifactError(thrown: unknown): ArtifactError {
  if (thrown instanceof ArtifactError) return thrown;
  if (!(thrown instanceof Error)) return new ArtifactError('internal', String(thrown));
  const errno = errnoOf(thrown);
  if (errno !== undefined && full.has(errno)) {
    return new ArtifactError(
      'exhausted',
      `${fullDisk} (${thrown.message}); free space or inodes there`,
      thrown,
    );
  }
  if (thrown.name === 'AbortError') return new ArtifactError('cancelled', 'the call was cancelled', thrown);
  return new ArtifactError('internal', thrown.message, thrown);
}

/** Whether a write failed because the disk is full, also in another thread, from which only the message comes. */
export function isFullDisk(thrown: unknown): boolean {
  const { code, message } = toArtifactError(thrown);
  return code === 'exhausted' && message.includes(fullDisk);
}

/** Returns the errno name of an error of Node (`ENOENT`), or undefined. */
export function errnoOf(thrown: unknown): string | undefined {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string'
    ? thrown.code
    : undefined;
}
