import { paxEntry, rawEntry, rawTar } from '../support/oci/raw-tar.ts';
import type { Random } from '../support/os/random.ts';

/** One entry of a layer. `type` is that of the tar; a whiteout is a file by its name. */
export type Entry = {
  readonly type: '0' | '1' | '2' | '3' | '5' | '6';
  readonly path: string;
  readonly target: string;
  readonly content: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds and nanoseconds, as in PAX. */
  readonly mtime: string;
  readonly xattrs: Readonly<Record<string, string>>;
};

/** The entries of each layer, the lowest first. */
export type Image = readonly (readonly Entry[])[];

/**
 * Few names, so that entries meet; directories seldom share names with other entries, so that most images are valid.
 */
const names = ['a', 'b', 'c'];
const leafNames = ['x', 'y', 'z'];
const modes = [0o644, 0o755, 0o700, 0o600, 0o1777, 0o4755, 0o2755, 0];

/**
 * An image of one to four layers, with all features of changesets. Whiteouts come first, those of parents before those
 * below, as tools write them: containerd lets them remove earlier content of their own layer.
 */
export function randomImage(random: Random): Image {
  const below = (most: number): number => Math.floor(random.next() * most);
  const chance = (share: number): boolean => random.next() < share;
  const one = <T>(list: readonly T[], otherwise: T): T => list[below(list.length)] ?? otherwise;

  const randomDirectory = (): string[] => Array.from({ length: below(3) }, () => one(names, 'a'));
  const randomPath = (isDirectory: boolean): string =>
    [...randomDirectory(), one(isDirectory !== chance(0.05) ? names : leafNames, 'a')].join('/');
  /** Present paths of files. */
  const files: string[] = [];
  const decorate = (path: string): string => {
    if (chance(0.1)) return `./${path}`;
    if (chance(0.05)) return `/${path}`;
    return chance(0.05) ? `${one(names, 'a')}/../${path}` : path;
  };
  const randomTarget = (): string => {
    const path = randomPath(chance(0.8));
    if (chance(0.2)) return `/${path}`;
    return chance(0.3) ? `../${path}` : path;
  };

  function randomType(): Entry['type'] {
    const chosen = random.next();
    if (chosen < 0.4 || (chosen < 0.5 && files.length === 0)) return '0';
    if (chosen < 0.5) return '1';
    if (chosen < 0.63) return '2';
    return chosen < 0.95 ? '5' : one(['3', '6'] as const, '6');
  }

  function randomEntry(): Entry {
    const type = randomType();
    const plain = randomPath(type === '5' || (type === '2' && chance(0.5)));
    const linked = chance(0.97) ? one(files, plain) : randomPath(false);
    if (type === '0' || type === '1') files.push(plain);
    const path = decorate(plain);
    return {
      type,
      path: type === '5' && chance(0.7) ? `${path}/` : path,
      target:
        type === '1'
          ? chance(0.2)
            ? `${randomPath(true)}/../${linked}`
            : decorate(linked)
          : type === '2'
            ? randomTarget()
            : '',
      content: type === '0' ? 'x'.repeat(below(40)) + below(1000) : '',
      mode: one(modes, 0o644),
      uid: below(4),
      gid: below(4),
      mtime: `${chance(0.1) ? '-' : ''}${below(2 ** 31)}.${String(below(1e9)).padStart(9, '0')}`,
      xattrs: chance(0.1) ? { [`user.${one(names, 'a')}`]: one(names, 'a') } : {},
    };
  }

  function randomWhiteout(): Entry {
    const path = randomPath(chance(0.5)).split('/');
    const name = path.pop() ?? 'a';
    const whiteout = chance(0.3) ? '.wh..wh..opq' : `.wh.${name}`;
    return { ...randomEntry(), type: '0', path: [...path, whiteout].join('/'), target: '', content: '' };
  }

  return Array.from({ length: 1 + below(4) }, (_, layer) => [
    ...Array.from({ length: layer === 0 ? 0 : below(3) }, randomWhiteout).sort(
      (one, other) => one.path.split('/').length - other.path.split('/').length,
    ),
    ...Array.from({ length: 1 + below(10) }, randomEntry),
  ]);
}

export function formatLayer(entries: readonly Entry[]): Buffer {
  return rawTar(
    ...entries.flatMap(({ type, path, target, content, mode, uid, gid, mtime, xattrs }) => [
      paxEntry({
        mtime,
        uid: String(uid),
        gid: String(gid),
        ...Object.fromEntries(Object.entries(xattrs).map(([key, value]) => [`SCHILY.xattr.${key}`, value])),
      }),
      rawEntry({
        type,
        name: path,
        linkname: target,
        body: content,
        mode: mode.toString(8).padStart(7, '0'),
      }),
    ]),
  );
}

/** Formats an image to inspect a failure. */
export function describeImage(image: Image): string {
  const describe = ({ type, path, target }: Entry): string => {
    if (type === '1') return `${path} = ${target}`;
    if (type === '2') return `${path} -> ${target}`;
    return type === '5' ? `${path} (directory)` : type === '0' ? path : `${path} (special)`;
  };
  return image.map((layer, index) => `  layer ${index + 1}: ${layer.map(describe).join(', ')}`).join('\n');
}
