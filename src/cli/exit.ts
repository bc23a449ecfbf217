import type { ErrorCode } from '../util/error.ts';

/** The exit code of each error code; `--help` shows this table. 0 is success. */
export const exitCodes: Readonly<Record<ErrorCode, number>> = {
  internal: 1,
  invalid: 2,
  'not-found': 3,
  unauthenticated: 4,
  denied: 5,
  unmountable: 6,
  corrupt: 7,
  unavailable: 8,
  busy: 9,
  exists: 10,
  exhausted: 11,
  unimplemented: 12,
  // As a shell reports a program that SIGINT ended.
  cancelled: 130,
};

/** What `--help` and docs/flags.md say of each. */
export const exitMeanings: Readonly<Record<ErrorCode, string>> = {
  internal: 'an I/O error or a bug',
  invalid: 'the command line or the reference is wrong',
  'not-found': 'no such artifact, tag, digest or volume',
  unauthenticated: 'the registry refuses the credentials, or asks for some',
  denied: 'the registry, a policy or the configuration refuses',
  unmountable: 'the artifact cannot become a volume',
  corrupt: 'wrong bytes; for fsck: damage in the cache',
  unavailable: 'unreachable registry or daemon, --timeout, or broken configuration',
  busy: 'busy, or the state directory is in use; try again',
  exists: 'another volume is there already; for serve: another daemon',
  exhausted: 'no space: the disk is full, or the cache is at its limit',
  unimplemented: 'not supported',
  cancelled: 'interrupted',
};

export function formatExitCodes(): string {
  const rows = Object.entries(exitMeanings).map(
    ([code, meaning]) => `${String(exitCodes[code as ErrorCode]).padStart(5)}  ${meaning}`,
  );
  return ['Exit codes:', '    0  success', ...rows].join('\n');
}
