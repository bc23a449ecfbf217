import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { waitUntil } from '../support/node/child.ts';
import { publishRequest, spawnDaemon, testNode } from '../support/node/daemon.ts';
import { main } from '../support/node/main.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { needs } from '../support/project/tools.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

test(
  'a container without mountPropagation is not ready, and publishes no empty directory',
  needs('root'),
  async () => {
    await using registry = await openFaultyRegistry();
    await using node = await testNode([registry.host]);
    const { reference } = await registry.push('m', 'v1', [{ name: 'a', bytes: Buffer.from('abc') }]);
    // As a container has them: a mount namespace of its own, and the daemon as the first process of another.
    const program = join(node.path, 'container');
    const apart = 'unshare --mount --propagation private --pid --fork --kill-child --mount-proc';
    await writeFile(program, `#!/bin/sh\nexec ${apart} '${process.execPath}' '${main}' "$@"\n`, {
      mode: 0o755,
    });
    await using daemon = await spawnDaemon(node, { program });
    const readiness = async (): Promise<string> =>
      fetch(`${daemon.http}/readyz`).then(
        answer => answer.text(),
        () => '',
      );
    const line = /"mountPropagation: Bidirectional" in the DaemonSet, at the volumeMount of \S+\/kubelet/;
    await waitUntil(daemon, async () => line.test(await readiness()), 'not ready');
    assert.match(await readiness(), /^not ready: pods would find an empty directory/);
    const request = await publishRequest(node, { reference });
    const { code, text } = await outcomeOf(daemon.csi.NodePublishVolume(request));
    assert.equal(code, 'UNAVAILABLE', text);
    assert.match(text, line);
    assert.deepEqual(readdirSync(dirname(request.target_path)), []);
    assert.deepEqual(readdirSync(join(node.stateDir, 'volumes')), []);
    await daemon.csi.NodeUnpublishVolume(request);
  },
);
