import type { Found, Outcome } from './extractor.ts';
import type { Entry, Image } from './image.ts';

/** One difference between two trees. */
export type Difference = {
  readonly what: 'outcome' | 'kind' | 'content' | 'names' | 'mode' | 'owner' | 'time' | 'xattrs';
  readonly path: string;
  /** As text; '' if the path does not exist. */
  readonly ours: string;
  readonly theirs: string;
};

type Context = {
  /** When containerd started, in nanoseconds since 1970. */
  readonly began: bigint;
  /** Base names of hard links and their targets. */
  readonly linked: ReadonlySet<string>;
  /** The times of directory entries, as containerd sets them. */
  readonly directoryTimes: ReadonlySet<string>;
  /** Base names of symlinks that are below a layer with whiteouts. */
  readonly lowerSymlinks: ReadonlySet<string>;
  /** Modes and owners of directory entries in layers below a layer with whiteouts. */
  readonly lowerDirectories: { readonly mode: ReadonlySet<string>; readonly owner: ReadonlySet<string> };
};

/** An intended difference. */
export type Rule = {
  readonly name: string;
  readonly reason: string;
  explains(difference: Difference, context: Context): boolean;
};

/** All permitted differences from containerd, each with its reason. */
export const rules: readonly Rule[] = [
  {
    name: 'devices, FIFOs and sockets',
    reason: 'are left out, as no volume has any',
    explains: ({ what, ours, theirs }) => what === 'kind' && ours === '' && theirs === 'special',
  },
  {
    name: 'setuid and setgid bits',
    reason: 'end, as a volume is mounted nosuid',
    explains: ({ what, ours, theirs }) =>
      what === 'mode' && Number.parseInt(ours, 8) === (Number.parseInt(theirs, 8) & 0o1777),
  },
  {
    name: 'the present',
    reason:
      'is the time of directories that no entry describes or that later layers change; ours is 0, or that of the entry',
    explains: ({ what, theirs }, { began }) => what === 'time' && BigInt(theirs) >= began,
  },
  {
    name: 'times before 1970',
    reason: 'are kept, where containerd sets 1970',
    explains: ({ what, ours, theirs }) => what === 'time' && theirs === '0' && ours.startsWith('-'),
  },
  {
    name: 'headers of hard links',
    reason: 'do not change the file that is linked',
    explains: ({ what, path }, { linked }) =>
      ['mode', 'owner', 'time', 'xattrs'].includes(what) && linked.has(path.split('/').at(-1) ?? ''),
  },
  {
    name: 'groups of directories that no entry describes',
    reason: 'are root, where a setgid directory above gives its own under containerd',
    explains: ({ what, ours, theirs }) => what === 'owner' && ours === '0:0' && theirs.startsWith('0:'),
  },
  {
    name: 'times of directories that are gone, or behind another symlink, at the end of their layer',
    reason: 'are set by containerd all the same, on what is there then, or it fails',
    explains: ({ what, theirs }, { directoryTimes }) =>
      (what === 'time' && directoryTimes.has(theirs)) ||
      (what === 'outcome' && /^layer \d: (failed call to UtimesNanoAt|lstat|too many links)/.test(theirs)),
  },
  {
    name: 'files of lower layers that a path goes on below',
    reason: 'give way to a directory, as where overlayfs lays it over them, and containerd fails',
    explains: ({ what, theirs }) =>
      what === 'outcome' &&
      /^layer [2-4]: (mkparent|failed to get root path: lstat) \S+: not a directory/.test(theirs),
  },
  {
    name: 'hard links in the place of what they link',
    reason: 'keep it, where containerd removes it first and fails',
    explains({ what, theirs }) {
      const [, target = '', path] = /: link (\S+) (\S+): no such file/.exec(theirs) ?? [];
      return what === 'outcome' && path !== undefined && (target === path || target.startsWith(`${path}/`));
    },
  },
  {
    name: 'directories that no entry describes, where a whiteout hides a symlink',
    reason:
      'have none of the attributes of what the symlink led to, where containerd follows it to copy them',
    explains({ what, path, ours, theirs }, { lowerSymlinks, lowerDirectories }) {
      if (!path.split('/').some(name => lowerSymlinks.has(name))) return false;
      if (what === 'mode') return ours === '755' && lowerDirectories.mode.has(theirs);
      return what === 'owner' && ours === '0:0' && lowerDirectories.owner.has(theirs);
    },
  },
  {
    name: 'attributes of a directory that is described again',
    reason: 'are those of the later entry alone, where containerd adds them',
    explains: ({ what, ours, theirs }) =>
      what === 'xattrs' &&
      (JSON.parse(ours) as [string, string][]).every(([key]) => theirs.includes(`"${key}"`)),
  },
];

/** Compares two outcomes. */
export function compare(ours: Outcome, theirs: Outcome): Difference[] {
  if ('error' in ours || 'error' in theirs) {
    const [one, other] = [ours, theirs].map(outcome => ('error' in outcome ? outcome.error : 'a tree'));
    if ('error' in ours && 'error' in theirs) return [];
    return [{ what: 'outcome', path: '', ours: one ?? '', theirs: other ?? '' }];
  }
  const [left, right] = [index(ours.nodes), index(theirs.nodes)];
  return [...new Set([...left.keys(), ...right.keys()])].flatMap(path =>
    compareNodes(path, left.get(path), right.get(path)),
  );
}

type Shown = Readonly<Record<Exclude<Difference['what'], 'outcome'>, string>>;
const aspects = ['kind', 'content', 'names', 'mode', 'owner', 'time', 'xattrs'] as const;

/** What is compared of each node: a symlink has no mode of its own. */
function index(nodes: readonly Found[]): Map<string, Shown> {
  const links = Map.groupBy(nodes, node => node.inode);
  return new Map(
    nodes.map(node => [
      node.path,
      {
        kind: node.kind,
        content: node.sha256 ?? node.target ?? '',
        names:
          node.kind === 'file'
            ? (links.get(node.inode) ?? [])
                .map(({ path }) => path)
                .sort()
                .join(' ')
            : '',
        mode: node.kind === 'symlink' ? '' : node.mode.toString(8),
        owner: `${node.uid}:${node.gid}`,
        time: node.time,
        xattrs: JSON.stringify(
          Object.entries(node.xattrs ?? {}).toSorted(([one], [other]) => one.localeCompare(other)),
        ),
      },
    ]),
  );
}

function compareNodes(path: string, ours: Shown | undefined, theirs: Shown | undefined): Difference[] {
  if (ours === undefined || theirs === undefined || ours.kind !== theirs.kind)
    return [{ what: 'kind', path, ours: ours?.kind ?? '', theirs: theirs?.kind ?? '' }];
  return aspects
    .filter(what => ours[what] !== theirs[what])
    .map(what => ({ what, path, ours: ours[what], theirs: theirs[what] }));
}

export function contextOf(image: Image, began: bigint): Context {
  const entries = image.flat();
  const links = entries.filter(({ type }) => type === '1');
  const directoryTimes = new Set(
    entries.filter(isDirectory).map(({ mtime }) => (mtime.startsWith('-') ? '0' : mtime.replace('.', ''))),
  );
  const lower = image
    .slice(
      0,
      Math.max(
        0,
        image.findLastIndex(layer => layer.some(isWhiteout)),
      ),
    )
    .flat();
  const lowerDirectories = lower.filter(isDirectory);
  return {
    began,
    directoryTimes,
    linked: new Set(links.flatMap(({ path, target }) => [base(path), base(target)])),
    lowerSymlinks: new Set(lower.filter(isSymlink).map(({ path }) => base(path))),
    lowerDirectories: {
      mode: new Set(lowerDirectories.map(({ mode }) => mode.toString(8))),
      owner: new Set(lowerDirectories.map(({ uid, gid }) => `${uid}:${gid}`)),
    },
  };
}

const base = (path: string): string => path.split('/').findLast(name => name !== '') ?? '';
const isSymlink = ({ type }: Entry): boolean => type === '2';
const isDirectory = ({ type }: Entry): boolean => type === '5';
const isWhiteout = ({ path }: Entry): boolean => base(path).startsWith('.wh.');
