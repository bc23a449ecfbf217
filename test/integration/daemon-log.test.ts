import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { constants } from 'node:fs';
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { exitCodes } from '../../src/cli/exit.ts';
import type { ErrorCode } from '../../src/util/error.ts';
import { waitUntil } from '../support/node/child.ts';
import { startDaemon, type TestDaemon, type TestNode, testNode } from '../support/node/daemon.ts';
import { main } from '../support/node/main.ts';
import { writeScript } from '../support/os/script.ts';
import { mountTmpfs } from '../support/os/tmpfs.ts';
import { needs } from '../support/project/tools.ts';

/** A daemon as `serve >> path` starts it. */
async function startLogging(node: TestNode, path: string, format: string): Promise<TestDaemon> {
  const program = join(node.path, 'serve');
  const output = `closeSync(1); openSync(${JSON.stringify(path)}, 'a');`; // the lowest number that is free
  const start = `await import(${JSON.stringify(main)});`;
  await writeScript(program, `import { closeSync, openSync } from 'node:fs'; ${output} ${start}`);
  return startDaemon(node, { program, flags: { '--log-format': format } });
}

for (const format of ['json', 'text']) {
  test(
    `a log in ${format} on a full disk blocks nothing, and continues where it stopped`,
    needs('root'),
    async () => {
      await using node = await testNode();
      const disk = mountTmpfs(join(node.path, 'disk'), 'size=256k');
      const [log, other] = [join(disk, 'log'), join(disk, 'other')];
      await using daemon = await startLogging(node, log, format);
      await assert.rejects(writeFile(other, Buffer.alloc(1 << 20)), { code: 'ENOSPC' });
      const before = await readFile(log, 'utf8');
      // Each call is a line, and all of them are more than the page that the log may still have.
      for (let n = 0; n < 100; n++) await daemon.identity.GetPluginInfo({});
      await daemon.identity.Probe({});
      await rm(other);
      const rest = async () => (await readFile(log, 'utf8')).slice(before.length);
      await waitUntil(daemon, async () => (await rest()).includes('Identity/Probe'), 'writing again');
      assert.equal((await rest()).split('Identity/GetPluginInfo').length, 101);
      assert.equal(await daemon.end('SIGTERM'), 0);
    },
  );

  test(`a daemon starts although its log in ${format} cannot be written`, async () => {
    await using node = await testNode();
    await using daemon = await startLogging(node, '/dev/full', format);
    await daemon.identity.Probe({});
    assert.equal(await daemon.end('SIGTERM'), 0);
  });
}

test('an unread log blocks no call, and is complete for a later reader', async () => {
  await using node = await testNode();
  const path = join(node.path, 'log');
  execFileSync('sh', ['-c', `mkfifo ${path}`]);
  await using reader = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  await using daemon = await startLogging(node, path, 'json');
  // Each is a line of 200 bytes and more, and a pipe has room for 64 KiB.
  for (let n = 0; n < 1_000; n++) await daemon.identity.GetPluginInfo({}, { deadline: Date.now() + 5_000 });
  assert.match(
    await (await fetch(`${daemon.http}/metrics`)).text(),
    /^oci_artifact_csi_log_lines_dropped_total 0$/m,
  );
  let text = '';
  const read = async (): Promise<boolean> => {
    const { bytesRead, buffer } = await reader.read(Buffer.alloc(1 << 20));
    text += buffer.toString('utf8', 0, bytesRead);
    return text.split('Identity/GetPluginInfo').length === 1_001;
  };
  await waitUntil(daemon, () => read().catch(() => false), 'all lines');
  assert.equal(await daemon.end('SIGTERM'), 0);
});

test(
  'the last log line of a failed start has the reason, in its format, and the exit code matches',
  needs('root'),
  async () => {
    await using node = await testNode();
    const foreign = join(node.path, 'foreign');
    await mkdir(foreign);
    await writeFile(join(foreign, 'letter'), '');
    const argv = [
      main,
      'serve',
      `--endpoint=unix://${node.socket}`,
      '--http-listen=',
      `--state-dir=${foreign}`,
    ];
    const { status, stdout, stderr } = spawnSync(process.execPath, argv, {
      encoding: 'utf8',
      timeout: 20_000,
    });
    assert.equal(stderr, '');
    const line = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as Record<string, string>;
    assert.equal(line['level'], 'fatal');
    assert.match(line['msg'] ?? '', /foreign/);
    assert.equal(status, exitCodes[line['code'] as ErrorCode]);
  },
);
