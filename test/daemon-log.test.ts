import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { waitUntil } from './support/child.ts';
import { startDaemon, type TestDaemon, type TestNode, testNode } from './support/daemon.ts';
import { writeScript } from './support/script.ts';
import { mountTmpfs } from './support/tmpfs.ts';
import { needs } from './support/tools.ts';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));

/** A daemon as `serve >> path` starts it. */
async function startLogging(node: TestNode, path: string, format: string): Promise<TestDaemon> {
  const program = join(node.path, 'serve');
  const output = `closeSync(1); openSync(${JSON.stringify(path)}, 'a');`; // the lowest number that is free
  const start = `await import(${JSON.stringify(main)});`;
  await writeScript(program, `import { closeSync, openSync } from 'node:fs'; ${output} ${start}`);
  return startDaemon(node, { program, flags: { '--log-format': format } });
}

for (const format of ['json', 'text']) {
  test(`a log in ${format} on a full disk costs its lines and nothing else`, needs('root'), async () => {
    await using node = await testNode();
    const disk = mountTmpfs(join(node.path, 'disk'), 'size=256k');
    const [log, other] = [join(disk, 'log'), join(disk, 'other')];
    await using daemon = await startLogging(node, log, format);
    await assert.rejects(writeFile(other, Buffer.alloc(1 << 20)), { code: 'ENOSPC' });
    const before = await readFile(log, 'utf8');
    // Each call is a line, and all of them are more than the page that the log may still have.
    for (let n = 0; n < 100; n++) await daemon.identity.GetPluginInfo({});
    await rm(other);
    await daemon.identity.Probe({});
    const rest = async () => (await readFile(log, 'utf8')).slice(before.length);
    await waitUntil(daemon, async () => (await rest()).includes('Identity/Probe'), 'writing again');
    assert.ok((await rest()).split('GetPluginInfo').length < 100, 'what was lost does not come later');
    assert.equal(await daemon.end('SIGTERM'), 0);
  });

  test(`a log in ${format} that can never be written does not keep a daemon from starting`, async () => {
    await using node = await testNode();
    await using daemon = await startLogging(node, '/dev/full', format);
    await daemon.identity.Probe({});
    assert.equal(await daemon.end('SIGTERM'), 0);
  });
}
