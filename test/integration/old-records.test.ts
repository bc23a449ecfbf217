import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { toSettings } from '../../src/cli/command-line.ts';
import { openNode } from '../../src/wiring.ts';
import { fillCache } from '../support/node/crowded-cache.ts';
import { testNode } from '../support/node/daemon.ts';

const unmeasured = { bytesPulled() {}, damageFound() {}, pullEnded() {} };

test('artifacts of an older version are listed with their sizes, also on a read-only disk', async () => {
  await using node = await testNode();
  const { stateDir, kubeletDir } = node;
  const settings = toSettings({ stateDir, kubeletDir }, {});
  const open = (reads?: string) => openNode(settings, pino({ level: 'silent' }), unmeasured, { reads });
  await (await open()).close();
  fillCache(stateDir, kubeletDir, { artifacts: 1, files: 2, volumes: 0 });
  const names = join(stateDir, 'names');
  for (const file of readdirSync(names)) {
    const { holds: _, ...record } = JSON.parse(readFileSync(join(names, file), 'utf8'));
    writeFileSync(join(names, file), JSON.stringify(record));
  }
  const useCases = await open('it is only read');
  const listed = await useCases.artifacts.list();
  await useCases.close();
  assert.deepEqual(
    listed.map(({ reference, bytes }) => [reference, bytes]),
    [['registry.test/team/m0:v1', 1000]],
  );
});
