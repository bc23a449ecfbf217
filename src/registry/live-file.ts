import { hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { ArtifactError, toArtifactError } from '../util/error.ts';
import { stampOfStat } from '../util/file-stamp.ts';

/** What configuration files say. */
export type LiveFile<Content> = {
  /**
   * Read again only if a file changed. What cannot be read or is broken leaves the last good content in force.
   *
   * @throws ArtifactError `internal` for a file that cannot be read, and what `parse` throws, while there is no good
   *   content; the signal's reason.
   */
  read(signal: AbortSignal): Promise<Content>;
  /** What is wrong with the files, or undefined if what they said when they were last read is in force. */
  problem(): Problem | undefined;
};

/** `refuses`: the files never were right, and so nothing is in force. */
export type Problem = { readonly text: string; readonly refuses: boolean };

export type FileText = { readonly path: string; readonly text: string };

/** `list` names the paths of the files, `flag` is where they are given; `list` and `parse` throw for people. */
export function openLiveFile<Content>(options: {
  readonly what: string;
  readonly flag: string;
  readonly list: () => Promise<readonly string[]>;
  /** Is told of each new problem. */
  readonly note: (text: string) => void;
  readonly parse: (files: readonly FileText[]) => Promise<Content>;
}): LiveFile<Content> {
  const { what, flag, list, parse, note } = options;
  let held: { readonly stamp: string; readonly texts: string; readonly content: Content } | undefined;
  let problem: Problem | undefined;

  const named = <T>(path: string, work: Promise<T>): Promise<T> =>
    work.catch((thrown: unknown) => {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      throw new ArtifactError('internal', `${what} ${path} cannot be read: ${why}; correct ${flag}`, thrown);
    });

  const load = async (signal: AbortSignal): Promise<Content> => {
    await using files = new AsyncDisposableStack();
    const opened: { readonly path: string; readonly file: FileHandle }[] = [];
    const stamps: string[] = [];
    for (const path of await list()) {
      const file = files.use(await named(path, open(path)));
      opened.push({ path, file });
      stamps.push(`${path} ${stampOfStat(await file.stat({ bigint: true }))}`);
    }
    const stamp = stamps.join('\n');
    if (held?.stamp === stamp) return held.content;
    const texts: FileText[] = [];
    for (const { path, file } of opened) {
      texts.push({ path, text: await named(path, file.readFile({ encoding: 'utf8', signal })) });
    }
    const read = hash('sha256', JSON.stringify(texts));
    const content = held?.texts === read ? held.content : await parse(texts);
    held = { stamp, texts: read, content };
    return content;
  };

  return {
    async read(signal) {
      signal.throwIfAborted();
      try {
        const content = await load(signal);
        problem = undefined;
        return content;
      } catch (thrown) {
        signal.throwIfAborted();
        const { message } = toArtifactError(thrown);
        const told = problem?.text;
        problem =
          held === undefined
            ? { text: `${message}; until it is right, what needs it is refused`, refuses: true }
            : { text: `${message}; what was read before is still in force`, refuses: false };
        if (problem.text !== told) note(problem.text);
        if (held === undefined) throw thrown;
        return held.content;
      }
    },
    problem: () => problem,
  };
}
