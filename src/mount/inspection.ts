import { opendirSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import {
  isReadOnly,
  type OpenDirectory,
  openDirectory,
  openIfThere,
  statDirectory,
} from '../linux/directory.ts';
import type { TargetState } from '../ports/mounter.ts';
import { errnoOf } from '../util/error.ts';
import { openTarget, type TargetHandle } from './target.ts';

/**
 * Reports what is at a target, without mountinfo, which takes milliseconds to read on a busy node. Of stacked mounts it
 * reports the topmost. A removed view is a directory without links. A filesystem other than the view's is first asked
 * in a thread, because its server may be gone or never answer.
 */
export async function inspect(handle: TargetHandle, view: string | undefined): Promise<TargetState> {
  using target = openTarget(handle);
  if (target === undefined) return { kind: 'absent' };
  const { isMountRoot, links, device } = statDirectory(target);
  if (!isMountRoot) {
    const entry = firstEntry(target);
    return entry === undefined ? { kind: 'empty' } : { kind: 'occupied', entry };
  }
  if (links === 0) return { kind: 'mounted', shows: 'dead', readOnly: isReadOnly(target) };
  if (view !== undefined && shows(target, view)) {
    return { kind: 'mounted', shows: 'view', readOnly: isReadOnly(target) };
  }
  const answer = await askServer(target, device);
  return {
    kind: 'mounted',
    shows: answer === 'gone' ? 'dead' : 'other',
    readOnly: answer === 'there' && isReadOnly(target), // asks in this thread
  };
}

/** Milliseconds that the server of a filesystem may take. */
const timeoutMs = 1_000;
/** By device. An unanswered call blocks one of Node's four threads, so each device has at most one. */
const asked = new Map<string, Promise<'there' | 'gone'>>();

async function askServer(target: OpenDirectory, device: string): Promise<'there' | 'gone' | 'silent'> {
  const answer = asked.get(device) ?? ask(target);
  asked.set(device, answer);
  const silence = setTimeout(timeoutMs, 'silent' as const, { ref: false });
  return Promise.race([answer.finally(() => asked.delete(device)), silence]);
}

async function ask(target: OpenDirectory): Promise<'there' | 'gone'> {
  using own = openDirectory(`/proc/self/fd/${target.fd}`);
  try {
    await statfs(`/proc/self/fd/${own.fd}`);
    return 'there';
  } catch (error) {
    if (errnoOf(error) === 'ENOTCONN') return 'gone';
    throw error;
  }
}

/** Returns a name in an open directory; undefined if it is empty. */
export function firstEntry(directory: OpenDirectory): string | undefined {
  using entries = opendirSync(`/proc/self/fd/${directory.fd}`);
  return entries.readSync()?.name;
}

function shows(target: OpenDirectory, view: string): boolean {
  using directory = openIfThere(view);
  if (directory === undefined) return false;
  const [shown, wanted] = [statDirectory(target), statDirectory(directory)];
  return shown.device === wanted.device && shown.inode === wanted.inode;
}
