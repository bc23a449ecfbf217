import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { openDfdaemonLinks } from './dfdaemon-links.ts';

test('what an earlier process left is removed after an hour, whatever it is', async t => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  await using directory = await temporaryDirectory();
  const at = (name: string): string => join(directory.path, name);
  using links = openDfdaemonLinks(directory.path);
  using own = links.open();
  mkdirSync(at('directory.handover'));
  writeFileSync(at('directory.handover/file'), '');
  for (const path of [own.path, at('old.handover'), at('new.handover'), at('other')]) writeFileSync(path, '');
  for (const path of [own.path, at('old.handover'), at('directory.handover'), at('other')])
    utimesSync(path, 0, 0);
  t.mock.timers.tick(3_600_000);
  assert.ok(existsSync(own.path));
  assert.equal(readdirSync(directory.path).length, 3);
  assert.ok(existsSync(at('new.handover')) && existsSync(at('other')));
  own[Symbol.dispose]();
  assert.ok(!existsSync(own.path));
});
