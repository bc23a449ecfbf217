import { tarOf } from './tar.ts';

/** A tar with an entry of every kind, and a GNU or PAX long name. */
export const small: Buffer = await tarOf([
  [{ name: 'd/', type: 'directory', mode: 0o750, uid: 7, gid: 8, mtime: new Date(5000) }],
  [{ name: 'd/f', mode: 0o4755, uid: 1000, gid: 1001, mtime: new Date(1_700_000_000_000) }, 'content'],
  [{ name: 'd/empty', mode: 0o1600 }],
  [{ name: 'd/s', type: 'symlink', linkname: '../../x' }],
  [{ name: 'd/l', type: 'link', linkname: 'd/f' }],
  [{ name: `${'long/'.repeat(60)}name` }, 'far'],
]);
/** In the form of `showToc`. */
export const smallShown: readonly string[] = [
  'd/ (directory)',
  'd/f: content',
  'd/empty: ',
  'd/s -> ../../x',
  'd/l = d/f',
  `${'long/'.repeat(60)}name: far`,
];
