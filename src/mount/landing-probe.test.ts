import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { mountsBelow } from '../../test/support/os/mounts.ts';
import { runProgram } from '../../test/support/os/program.ts';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { needs } from '../../test/support/project/tools.ts';
import type { Landings } from '../ports/landing.ts';
import { examine, tryLandings } from './landing-probe.ts';
import { openLandings } from './landings.ts';

const open = () => openLandings({ timeoutSeconds: 60 });

test(
  'this kernel shows late files as they must be, which leaves no file and no mount',
  needs('root'),
  async () => {
    await using temporary = await temporaryDirectory();
    const support = await tryLandings(temporary.path, open);
    assert.ok(support.kind === 'on', support.kind === 'off' ? support.reason : '');
    assert.deepEqual([readdirSync(temporary.path), mountsBelow(temporary.path)], [[], []]);
    const start = performance.now();
    const { keepsMaps } = support.landings;
    assert.deepEqual(await examine(support.landings, temporary.path), { kind: 'fit', keepsMaps });
    assert.ok(performance.now() - start < 1000, `${performance.now() - start} ms`);
    assert.equal(support.landings.failure(), undefined);
    await support.landings[Symbol.asyncDispose]();
    assert.equal(support.landings.failure(), 'the daemon stops');
  },
);

test('a filesystem that cannot have images gives the reason', needs('root'), async () => {
  await using temporary = await temporaryDirectory();
  for (const name of ['lower', 'upper', 'work', 'overlay']) mkdirSync(join(temporary.path, name));
  const at = (name: string): string => join(temporary.path, name);
  const layers = `lowerdir=${at('lower')},upperdir=${at('upper')},workdir=${at('work')}`;
  runProgram('mount', '-t', 'overlay', 'overlay', '-o', layers, at('overlay'));
  assert.deepEqual(await tryLandings(at('overlay'), open), {
    kind: 'off',
    reason: 'this kernel, or the filesystem of the state directory, mounts EROFS from block devices only',
  });
  const absent = await tryLandings(at('absent'), open);
  assert.match(absent.kind === 'off' ? absent.reason : '', /ENOENT/);
});

test('a kernel that reads something else than the landing is found', needs('root'), async () => {
  await using temporary = await temporaryDirectory();
  const path = join(temporary.path, 'zeros');
  writeFileSync(path, '');
  truncateSync(path, 3 * 2 ** 20);
  const landings: Landings = {
    add: () => ({ path, [Symbol.dispose]() {} }),
    failure: () => undefined,
    leave() {},
    async [Symbol.asyncDispose]() {},
  };
  assert.deepEqual(await examine(landings, temporary.path), {
    kind: 'unfit',
    reason: 'the kernel does not ask for missing bytes',
  });
});
