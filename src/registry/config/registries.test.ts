import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startReading } from '../../configfile/watched-file.ts';
import { type Registries, type RegistriesFiles, readRegistries } from './registries.ts';

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'registries-'));
});
after(() => rm(root, { recursive: true }));

let count = 0;
/** Writes files to a directory of its own and reads them. The directory counts as the standard one. */
async function read(files: Readonly<Record<string, string>>): Promise<Registries> {
  const paths = filesIn(join(root, String((count += 1))));
  for (const [name, text] of Object.entries(files)) {
    const path = join(dirname(paths.file), name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
  return readRegistries(paths, startReading(), paths);
}

function filesIn(directory: string): RegistriesFiles {
  return {
    file: join(directory, 'registries.conf'),
    directory: join(directory, 'registries.conf.d'),
    aliasesFile: join(directory, 'short-name-aliases.conf'),
  };
}

const aliasOf = (registries: Registries, name: string) => registries.aliases.get(name)?.repository?.registry;

describe('what does not exist', () => {
  test('no file at all: docker.io is the only search registry, and short names are permissive', async () => {
    assert.deepEqual(await read({}), {
      search: { registries: ['docker.io'], file: 'the built-in default' },
      mode: { name: 'permissive', file: 'the built-in default' },
      aliases: new Map(),
      rules: [],
      notes: [],
    });
  });

  test('a main file without search registries leaves none', async () => {
    const { search } = await read({ 'registries.conf': '' });
    assert.deepEqual(search.registries, []);
    assert.match(search.file, /registries\.conf$/);
  });

  test('a drop-in without a main file adds to the default', async () => {
    const { search, mode } = await read({ 'registries.conf.d/a.conf': 'short-name-mode = "disabled"' });
    assert.deepEqual(search.registries, ['docker.io']);
    assert.equal(mode.name, 'disabled');
  });

  test('a file or directory that a user named must exist', async () => {
    const standard = filesIn(join(root, 'standard'));
    const named = join(root, 'nowhere');
    const refused = { code: 'invalid', message: new RegExp(`${named} does not exist`) };
    const readAt = (paths: RegistriesFiles) => readRegistries(paths, startReading(), standard);
    assert.throws(() => readAt({ ...standard, file: named }), refused);
    assert.throws(() => readAt({ ...standard, directory: named }), refused);
    assert.ok(readAt({ ...standard, aliasesFile: named }));
  });

  test('a file that exists but cannot be read is an error, even at its standard path', async () => {
    const paths = filesIn(join(root, 'unreadable'));
    await mkdir(paths.file, { recursive: true });
    assert.throws(() => readRegistries(paths, startReading(), paths), {
      code: 'internal',
      message: /registries\.conf cannot be read/,
    });
  });

  test('a drop-in that is a dangling link is ignored', async () => {
    const paths = filesIn(join(root, 'dangling'));
    await mkdir(paths.directory, { recursive: true });
    await symlink('nowhere', join(paths.directory, 'a.conf'));
    assert.deepEqual(readRegistries(paths, startReading(), paths).search.registries, ['docker.io']);
  });
});

describe('which file wins', () => {
  test('drop-ins win over the main file, and later names over earlier ones, key by key', async () => {
    const { search, mode, notes } = await read({
      'registries.conf': 'unqualified-search-registries = ["main.io"]\nshort-name-mode = "enforcing"\nx = 1',
      'registries.conf.d/20.conf': 'unqualified-search-registries = ["late.io", "late.io"]\ny = 1',
      'registries.conf.d/10.conf': 'unqualified-search-registries = ["early.io"]',
      'registries.conf.d/30.txt': 'unqualified-search-registries = ["text.io"]',
      'registries.conf.d/40.conf/50.conf': 'unqualified-search-registries = ["nested.io"]',
    });
    assert.deepEqual(search.registries, ['late.io']);
    assert.match(search.file, /20\.conf$/);
    assert.equal(mode.name, 'enforcing');
    assert.match(mode.file, /registries\.conf$/);
    assert.deepEqual(
      notes.map(note => /([^/]*): not used by this driver: (.*)$/.exec(note)?.slice(1)),
      [
        ['registries.conf', 'x'],
        ['20.conf', 'y'],
      ],
    );
  });

  test('an empty list replaces, an empty mode sets nothing', async () => {
    const { search, mode } = await read({
      'registries.conf': 'unqualified-search-registries = ["main.io"]\nshort-name-mode = "disabled"',
      'registries.conf.d/a.conf': 'unqualified-search-registries = []\nshort-name-mode = ""',
    });
    assert.deepEqual(search.registries, []);
    assert.equal(mode.name, 'disabled');
  });

  test('aliases merge by name; an empty one removes; the recorded ones win over all', async () => {
    const registries = await read({
      'registries.conf':
        '[aliases]\na = "main.io/a"\nb = "main.io/b"\nc = "main.io/c"\nd = "main.io/d"\ne = "main.io/e"',
      'registries.conf.d/a.conf': '[aliases]\nb = "drop.io/b"\nc = ""\nd = "drop.io/d"',
      'short-name-aliases.conf':
        'short-name-mode = "enforcing"\n[aliases]\nd = "recorded.io/d"\ne = ""\nf = "recorded.io/f"',
    });
    assert.deepEqual(
      ['a', 'b', 'c', 'd', 'e', 'f'].map(name => aliasOf(registries, name)),
      ['main.io', 'drop.io', undefined, 'recorded.io', undefined, 'recorded.io'],
    );
    assert.equal(registries.mode.name, 'permissive');
  });

  test('[[registry]] tables merge whole, by prefix, longest prefix first', async () => {
    const { rules } = await read({
      'registries.conf':
        '[[registry]]\nlocation = "a.io"\ninsecure = true\n[[registry]]\nlocation = "a.io/long"\nblocked = true',
      'registries.conf.d/a.conf':
        '[[registry]]\nlocation = "a.io"\nblocked = true\n[[registry]]\nlocation = "b.io"',
    });
    assert.deepEqual(
      rules.map(({ prefix, insecure, blocked }) => ({ prefix, insecure, blocked })),
      [
        { prefix: 'a.io/long', insecure: false, blocked: true },
        { prefix: 'a.io', insecure: false, blocked: true },
        { prefix: 'b.io', insecure: false, blocked: false },
      ],
    );
  });

  test('an error in a drop-in names that drop-in', async () => {
    await assert.rejects(read({ 'registries.conf.d/bad.conf': '\nshort-name-mode = 1' }), {
      code: 'invalid',
      message: /bad\.conf:2: short-name-mode must be text/,
    });
  });
});
