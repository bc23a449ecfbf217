import { ArtifactError, toArtifactError } from '../util/error.ts';

/**
 * A part of the configuration, from some files. `kept`: the files are wrong now, and the last good version is in use.
 * `broken`: they have been wrong since the start, and whatever needs them is refused.
 */
export type Part<T> =
  | { readonly kind: 'right'; readonly value: T }
  | { readonly kind: 'kept'; readonly value: T; readonly problem: string }
  | { readonly kind: 'broken'; readonly problem: string };

export function readPart<T>(read: () => T, before: Part<T> | undefined): Part<T> {
  try {
    return { kind: 'right', value: read() };
  } catch (thrown) {
    const why = toArtifactError(thrown).message;
    if (before === undefined || before.kind === 'broken') {
      return { kind: 'broken', problem: `${why}; until it is right, what needs it is refused` };
    }
    const problem = `${why}; until it is right, what was read before stays in use`;
    return { kind: 'kept', value: before.value, problem };
  }
}

/** @throws ArtifactError `unavailable` with the problem if the part is broken. */
export function valueOf<T>(part: Part<T>): T {
  if (part.kind !== 'broken') return part.value;
  throw new ArtifactError('unavailable', part.problem);
}

/** Returns the present or last good version; undefined before there was one. */
export function lastGood<T>(part: Part<T> | undefined): T | undefined {
  return part === undefined || part.kind === 'broken' ? undefined : part.value;
}

/** Returns what is wrong with the files now. */
export function problemsOf(...parts: readonly Part<unknown>[]): readonly string[] {
  return parts.flatMap(part => (part.kind === 'right' ? [] : [part.problem]));
}

/** Returns the problems that cause refusals. */
export function obstaclesOf(...parts: readonly Part<unknown>[]): readonly string[] {
  return problemsOf(...parts.filter(part => part.kind === 'broken'));
}
