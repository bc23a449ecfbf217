import {
  lastGood,
  type Note,
  type Part,
  problemsOf,
  type Reading,
  readNamed,
  readPart,
  watchFiles,
} from '../configfile/watched-file.ts';
import type { ParseAttributes, PrefetchEntry, PrefetchList } from '../ports/prefetch.ts';
import { ArtifactError } from '../util/error.ts';

/** The administrator's list of artifacts, read again when the file changes. */
export type PrefetchFile = PrefetchList & {
  /** What is wrong with the present file. */
  problems(): readonly string[];
};

type Options = {
  readonly parseAttributes: ParseAttributes;
  /** Whether the Kubernetes API, which has the labels of this node, is in use. */
  readonly hasLabels: boolean;
  /** Called once when the file becomes broken, and when it has changed and can be used. */
  readonly note: Note;
};

/** Opens the list. Without a file it is empty. While the file is broken, the last good list stays in use. */
export async function openPrefetchFile(
  file: string | undefined,
  { parseAttributes, hasLabels, note }: Options,
): Promise<PrefetchFile> {
  if (file === undefined) return { entries: () => [], problems: () => [] };
  // The YAML parser takes 40 ms to load.
  const { parsePrefetchList } = await import('./prefetch-list.ts');

  const parse = (reading: Reading): readonly PrefetchEntry[] => {
    const entries = parsePrefetchList(readNamed(file, reading), parseAttributes);
    const selecting = entries.find(({ nodeSelector }) => Object.keys(nodeSelector).length > 0);
    if (selecting === undefined || hasLabels) return entries;
    throw new ArtifactError(
      'invalid',
      `${selecting.artifact.reference} has a nodeSelector, and the labels of this node are not known; set --node-labels, or remove the nodeSelector`,
    );
  };
  const problems = (part: Part<readonly PrefetchEntry[]>): readonly string[] =>
    problemsOf(part).map(problem => `the list of --prefetch ${file}: ${problem}`);
  const current = watchFiles<Part<readonly PrefetchEntry[]>>({
    what: `the list of --prefetch ${file}`,
    read: (reading, before) => readPart(() => parse(reading), before),
    problemsOf: problems,
    note,
  });
  current();
  return { entries: () => lastGood(current()), problems: () => problems(current()) };
}
