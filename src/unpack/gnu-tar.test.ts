import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { endOfTar, paxEntry, rawEntry } from '../../test/support/oci/raw-tar.ts';
import { openUnpacking, showToc } from '../../test/support/oci/unpacking.ts';
import { setXattr } from '../linux/xattr.ts';
import { bodyName } from '../tree/layer-files.ts';

const { unpackFile, directory } = await openUnpacking();

test('the tars of GNU tar are read in all its formats', async () => {
  const tree = join(directory, 'tree');
  const long = 'n'.repeat(120);
  mkdirSync(join(tree, 'd', long, long), { recursive: true });
  writeFileSync(join(tree, 'd', long, long, long), 'far');
  writeFileSync(join(tree, 'f'), 'content', { mode: 0o640 });
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from('caf\xe9', 'latin1')]), 'latin1');
  execFileSync('ln', [join(tree, 'f'), join(tree, 'hard')]);
  execFileSync('ln', ['-s', `../${long}`, join(tree, 'soft')]);
  for (const format of ['gnu', 'pax', 'oldgnu']) {
    const source = join(directory, `${format}.tar`);
    execFileSync('tar', ['-c', `--format=${format}`, '--sort=name', '-f', source, '-C', tree, '.']);
    assert.deepEqual(
      showToc(await unpackFile(source)),
      [
        './ (directory)',
        './caf\udce9: latin1',
        './d/ (directory)',
        `./d/${long}/ (directory)`,
        `./d/${long}/${long}/ (directory)`,
        `./d/${long}/${long}/${long}: far`,
        './f: content',
        './hard = ./f',
        `./soft -> ../${long}`,
      ],
      format,
    );
  }
});

test("GNU tar's sparse files are read in all its formats, with their holes", async () => {
  const tree = join(directory, 'sparse');
  mkdirSync(tree);
  const names = ['all-hole', 'data-first', 'data-last', 'many'];
  for (const name of names) writeFileSync(join(tree, name), name === 'data-first' ? 'x' : '');
  for (const name of names) truncateSync(join(tree, name), 8 << 20);
  const pieces: Record<string, number[]> = {
    'data-last': [(8 << 20) - 3],
    // More than fit into a header.
    many: Array.from({ length: 60 }, (_, nth) => nth * 100_000),
  };
  for (const [name, offsets] of Object.entries(pieces)) {
    const fd = openSync(join(tree, name), 'r+');
    for (const offset of offsets) writeSync(fd, 'abc', offset);
    closeSync(fd);
  }
  utimesSync(join(tree, 'many'), 1, 1);
  for (const version of [
    '--format=gnu',
    '--sparse-version=0.0',
    '--sparse-version=0.1',
    '--sparse-version=1.0',
  ]) {
    const source = join(directory, `sparse${version}.tar`);
    const format = version.startsWith('--sparse') ? ['--format=pax'] : [];
    execFileSync('tar', ['-c', '--sparse', ...format, version, '-f', source, '-C', tree, ...names]);
    const { entries, into } = await unpackFile(source);
    for (const [body, name] of names.entries()) {
      const path = join(into, bodyName(body));
      assert.equal(entries[body]?.path, name, version);
      assert.ok(readFileSync(path).equals(readFileSync(join(tree, name))), `${version} ${name}`);
      assert.ok(statSync(path).blocks <= statSync(join(tree, name)).blocks, `${version} ${name}`);
    }
  }
});

test('an empty sparse file stays apart from the next one', async () => {
  const sparse = (name: string, body: string): Buffer =>
    Buffer.concat([
      paxEntry({
        'GNU.sparse.major': '0',
        'GNU.sparse.minor': '1',
        'GNU.sparse.name': name,
        'GNU.sparse.size': String(body.length),
        'GNU.sparse.numblocks': body === '' ? '0' : '1',
        'GNU.sparse.map': body === '' ? '' : `0,${body.length}`,
      }),
      rawEntry({ name, body }),
    ]);
  const source = join(directory, 'empty-sparse.tar');
  writeFileSync(source, Buffer.concat([sparse('a', ''), sparse('b', 'content'), sparse('c', ''), endOfTar]));
  assert.deepEqual(showToc(await unpackFile(source)), ['a: ', 'b: content', 'c: ']);
});

test("GNU tar's user attributes are kept", async () => {
  const tree = join(directory, 'attributes');
  mkdirSync(tree);
  writeFileSync(join(tree, 'f'), 'x');
  const fd = openSync(join(tree, 'f'), 'r');
  setXattr(fd, 'user.model', Buffer.from('caf\xe9', 'latin1'));
  closeSync(fd);
  const source = join(directory, 'attributes.tar');
  execFileSync('tar', ['-c', '--xattrs', '-f', source, '-C', tree, 'f']);
  const [file] = (await unpackFile(source)).entries;
  assert.ok(file?.kind === 'file');
  assert.deepEqual(file.xattrs, { 'user.model': 'caf\xe9' });
});
