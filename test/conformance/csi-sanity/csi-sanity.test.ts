import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { publishRequest, startDaemon, testNode } from '../../support/node/daemon.ts';
import { mountsBelow } from '../../support/os/mounts.ts';
import { needs, toolPath } from '../../support/project/tools.ts';
import { oras } from '../../support/registry/oras.ts';
import { startRealRegistry } from '../../support/registry/real-registry.ts';
import { openFront } from './front.ts';
import { readReport } from './report.ts';

/** The specs that this driver leaves out, and why. Any other must pass. */
const skipped: Readonly<Record<string, readonly string[]>> = {
  'every volume is read-only, so writers are not counted': [
    'NodePublishVolume with single node multi writer capability should fail when volume with single node single writer access mode is already mounted at a different target path',
  ],
  'a bind mount of the cache needs no staging': [
    'NodeStageVolume should fail when no volume id is provided',
    'NodeStageVolume should fail when no staging target path is provided',
    'NodeStageVolume should fail when no volume capability is provided',
    'NodeUnstageVolume should fail when no volume id is provided',
    'NodeUnstageVolume should fail when no staging target path is provided',
  ],
  'an artifact has the size it has': [
    'NodeExpandVolume should fail when no volume id is provided',
    'NodeExpandVolume should fail when no volume path is provided',
    'NodeExpandVolume should fail when volume is not found',
    'NodeExpandVolume should work if node-expand is called after node-publish',
  ],
  'the disk of the node, which kubelet watches, is all the storage there is': [
    'NodeGetStorageHealth should return appropriate response',
  ],
};

test(
  'csi-sanity passes every spec of Identity and Node that applies',
  needs('root', 'registry', 'oras', 'csi-sanity'),
  async () => {
    await using registry = await startRealRegistry();
    await using node = await testNode([registry.host]);
    await writeFile(join(node.path, 'weights.txt'), 'three layers and a bias\n');
    await oras(['push', '--plain-http', `${registry.host}/models/tiny:1`, 'weights.txt'], node.path);
    await using daemon = await startDaemon(node);
    const socket = join(node.path, 'front.sock');
    await using _front = await openFront(socket, daemon);

    const parameters = join(node.path, 'parameters.yaml');
    await writeFile(parameters, JSON.stringify({ reference: `${registry.host}/models/tiny:1` }));
    const { target_path } = await publishRequest(node, {});
    const report = join(node.path, 'report.json');
    const run = promisify(execFile)(
      toolPath('csi-sanity'),
      [
        `--csi.endpoint=unix://${socket}`,
        `--csi.mountdir=${join(dirname(target_path), 'sanity')}`,
        `--csi.stagingdir=${join(node.path, 'staging')}`,
        `--csi.testvolumeparameters=${parameters}`,
        '--ginkgo.focus=(Identity|Node) Service',
        `--ginkgo.json-report=${report}`,
      ],
      { timeout: 120_000 },
    );
    const output = await run.then(
      ({ stdout }) => stdout,
      ({ stdout }: { stdout: string }) => stdout,
    );

    const specs = await readReport(report);
    const having = (state: string): readonly string[] =>
      specs.filter(spec => spec.state === state).map(({ name }) => name.replace(/^Node Service /, ''));
    assert.deepEqual(
      specs.filter(({ state }) => state !== 'passed' && state !== 'skipped'),
      [],
      output,
    );
    assert.deepEqual(having('skipped').toSorted(), Object.values(skipped).flat().toSorted());
    assert.equal(having('passed').length, 19);
    assert.deepEqual(mountsBelow(node.kubeletDir), []);
  },
);
