import type { EntryAttributes, TocEntry, Xattrs } from './toc.ts';

/** JSON has no large integers, so the time is text. */
type Stat = [mode: number, uid: number, gid: number, mtime: string, xattrs?: Xattrs];

/**
 * One entry of a table of contents as the JSON array of its line. The letters are those of `ls -l`, and `h` for a hard
 * link.
 */
type Row =
  | ['d', path: string, ...Stat]
  | ['-', path: string, size: number, body: number, sha256: string, ...Stat]
  | ['l', path: string, target: string, ...Stat]
  | ['h', path: string, target: string]
  | ['s', path: string, what: (TocEntry & { kind: 'special' })['what']];

/**
 * JSON.stringify escapes lone surrogates of a path, so the line is UTF-8 whatever the name. Files are nearly all entries,
 * and so have a way of their own: it takes half of the time.
 */
export function formatRow(entry: TocEntry): string {
  if (entry.kind !== 'file' || entry.xattrs !== undefined) return JSON.stringify(toRow(entry));
  const { path, size, body, sha256, mode, uid, gid, mtime } = entry;
  return `["-",${JSON.stringify(path)},${size},${body},"${sha256}",${mode},${uid},${gid},"${mtime}"]`;
}

/** Parses a line of `formatRow`. The checksum of the file must have been verified. */
export function parseRow(line: string): TocEntry {
  const row = JSON.parse(line) as Row;
  switch (row[0]) {
    case 'd': {
      const [, path, ...stat] = row;
      return { kind: 'directory', path, ...toAttributes(stat) };
    }
    case '-': {
      const mtime = BigInt(row[8]);
      const file = {
        kind: 'file',
        path: row[1],
        size: row[2],
        body: row[3],
        sha256: row[4],
        mode: row[5],
        uid: row[6],
        gid: row[7],
        mtime,
      } as const;
      return row[9] === undefined ? file : { ...file, xattrs: row[9] };
    }
    case 'l': {
      const [, path, target, ...stat] = row;
      return { kind: 'symlink', path, target, ...toAttributes(stat) };
    }
    case 'h':
      return { kind: 'link', path: row[1], target: row[2] };
    case 's':
      return { kind: 'special', path: row[1], what: row[2] };
  }
}

function toRow(entry: TocEntry): Row {
  switch (entry.kind) {
    case 'directory':
      return ['d', entry.path, ...toStat(entry)];
    case 'file':
      return ['-', entry.path, entry.size, entry.body, entry.sha256, ...toStat(entry)];
    case 'symlink':
      return ['l', entry.path, entry.target, ...toStat(entry)];
    case 'link':
      return ['h', entry.path, entry.target];
    case 'special':
      return ['s', entry.path, entry.what];
  }
}

function toStat({ mode, uid, gid, mtime, xattrs }: EntryAttributes): Stat {
  const time = String(mtime);
  return xattrs === undefined ? [mode, uid, gid, time] : [mode, uid, gid, time, xattrs];
}

function toAttributes([mode, uid, gid, time, xattrs]: Stat): EntryAttributes {
  const mtime = BigInt(time);
  return xattrs === undefined ? { mode, uid, gid, mtime } : { mode, uid, gid, mtime, xattrs };
}
