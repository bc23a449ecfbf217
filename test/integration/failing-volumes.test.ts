import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../support/node/child.ts';
import { runCommandHere } from '../support/node/command.ts';
import { publishRequest } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { openSetting } from '../support/node/setting.ts';
import { needs } from '../support/project/tools.ts';

const { registry, node, daemon } = await openSetting();

const podOf = (name: string): Readonly<Record<string, string>> => ({
  'csi.storage.k8s.io/pod.namespace': 'shop',
  'csi.storage.k8s.io/pod.name': name,
});

/** The lines of `status` about volumes that fail, with their ages as `0s`. */
async function failingLines(): Promise<readonly string[]> {
  const { code, stdout, stderr } = await runCommandHere(node, ['status']);
  assert.deepEqual([code, stderr], [0, '']);
  const lines = stdout.matchAll(/^failing: +(.*)$/gm);
  return [...lines].map(([, line = '']) => line.replace(/\(\d+s ago/, '(0s ago'));
}

/** Waits until the metric of volumes that fail has these samples: a scrape is reused for a second. */
async function measures(...samples: readonly string[]): Promise<void> {
  const has = async (): Promise<boolean> => {
    const text = await (await fetch(`${daemon.http}/metrics`)).text();
    const found = [...text.matchAll(/^oci_artifact_csi_volumes_failing(\{.*)$/gm)];
    return found.map(([, sample]) => sample).join() === samples.join();
  };
  await waitUntil(daemon, has, `the samples are ${samples.join()}`, 5_000);
}

test('a volume that fails is in status until it is published', needs('root'), async () => {
  const reference = `${registry.host}/team/later:v1`;
  const request = await publishRequest(node, { reference, ...podOf('web-0') });
  const from = Date.now();
  const { code, text } = await outcomeOf(daemon.csi.NodePublishVolume(request));
  assert.equal(code, 'NOT_FOUND');
  assert.deepEqual(await failingLines(), [`shop/web-0: ${reference} (0s ago, 1 time): ${text}`]);
  await outcomeOf(daemon.csi.NodePublishVolume(request));
  assert.deepEqual(await failingLines(), [`shop/web-0: ${reference} (0s ago, 2 times): ${text}`]);
  await measures('{grpc_status_code="NotFound"} 1');

  const { failing } = await daemon.artifacts.GetStatus({});
  const { since = 0, failed_at: failedAt = 0 } = failing[0] ?? {};
  assert.ok(from <= since && since < failedAt && failedAt <= Date.now(), `${from} ${since} ${failedAt}`);
  const document = await runCommandHere(node, ['status', '--output', 'json']);
  const { failing: shown } = JSON.parse(document.stdout) as { readonly failing: unknown };
  assert.deepEqual(shown, [
    {
      targetPath: request.target_path,
      pod: {
        namespace: 'shop',
        name: 'web-0',
        uid: request.volume_context?.['csi.storage.k8s.io/pod.uid'],
        serviceAccount: 'default',
      },
      reference,
      code: 'not-found',
      message: text,
      failures: 2,
      since: new Date(since).toISOString(),
      failedAt: new Date(failedAt).toISOString(),
    },
  ]);

  await registry.push('team/later', 'v1', [{ name: 'a', bytes: Buffer.from('at last') }]);
  await daemon.csi.NodePublishVolume(request);
  assert.deepEqual(await failingLines(), []);
  await measures();
  await daemon.csi.NodeUnpublishVolume({ volume_id: request.volume_id, target_path: request.target_path });
});

test('a request that is wrong by itself is in status until its pod is gone', needs('root'), async () => {
  const reference = `${registry.host}/team/model:v1`;
  const request = await publishRequest(node, { reference, pullpolicy: 'Always', ...podOf('typo') });
  const { code, text } = await outcomeOf(daemon.csi.NodePublishVolume(request));
  assert.equal(code, 'INVALID_ARGUMENT');
  assert.deepEqual(await failingLines(), [`shop/typo: ${reference} (0s ago, 1 time): ${text}`]);
  await daemon.csi.NodeUnpublishVolume({ volume_id: request.volume_id, target_path: request.target_path });
  assert.deepEqual(await failingLines(), []);
});
