import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { waitUntil } from '../support/node/child.ts';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { openSetting } from '../support/node/setting.ts';
import { ownAddress } from '../support/os/port.ts';
import { needs } from '../support/project/tools.ts';

const address = `${ownAddress()}:20010`;
const { registry, node, daemon } = await openSetting({ flags: { '--page-listen': address } });

/** The text of the page's rows. */
async function rows(at = address): Promise<readonly string[]> {
  const answer = await fetch(`http://${at}/`);
  assert.equal(answer.status, 200);
  const found = [...(await answer.text()).matchAll(/<tr>(.*?)<\/tr>/g)];
  return found.map(([, cells = '']) => cells.replaceAll('<wbr>', '').replace(/<[^>]*>/g, ' '));
}

test('the page of a daemon shows a pull, and then its volume and its artifact', needs('root'), async () => {
  const pushed = await registry.push('team/model', 'v1', [
    { name: 'weights', bytes: randomBytes(3_000_000) },
  ]);
  registry.fault(({ path }) =>
    path.includes('/blobs/') ? { kind: 'slow', bytesPerSecond: 2_000_000 } : undefined,
  );
  const request = await publishRequest(node, { reference: pushed.reference });
  const publishing = daemon.csi.NodePublishVolume(request);
  const isPulling = async (): Promise<boolean> =>
    (await rows()).some(row => row.includes('download') && row.includes('default/pod'));
  await waitUntil(daemon, isPulling, 'pulling');
  await publishing;
  const isShown = async (): Promise<boolean> => (await rows()).some(row => row.includes(' mounted '));
  await waitUntil(daemon, isShown, 'shown');
  const text = (await rows()).join('\n');
  assert.match(
    text,
    new RegExp(`default/ pod .*${pushed.reference}.*${pushed.digest.slice(0, 19)}.* mounted `),
  );
  assert.match(
    text,
    new RegExp(`${pushed.reference}.* 1 volume .*default/pod .*\\ds ago`),
    'held, and verified',
  );
  const { artifacts } = await daemon.artifacts.List({});
  assert.ok((artifacts[0]?.verified_at ?? 0) > Date.now() - 120_000);
});

test('the page shows what a daemon has before a pod asks, and that it is pinned', needs('root'), async () => {
  const { reference, digest } = await registry.push('team/early', 'v1', [
    { name: 'text', bytes: Buffer.from('early') },
  ]);
  await using other = await testNode([registry.host]);
  const list = join(other.path, 'prefetch.yaml');
  const names = [reference, `${reference}-missing`];
  writeFileSync(
    list,
    JSON.stringify({ artifacts: names.map(name => ({ reference: name, interval: '1m' })) }),
  );
  const page = `${ownAddress()}:20010`;
  await using early = await startDaemon(other, { flags: { '--page-listen': page, '--prefetch': list } });
  const isShown = async (): Promise<boolean> => {
    const text = (await rows(page)).join('\n');
    return / ready /.test(text) && / failed /.test(text) && / pinned /.test(text);
  };
  await waitUntil(early, isShown, 'shown');
  const text = (await rows(page)).join('\n');
  const [name, start] = [RegExp.escape(reference), digest.slice(0, 19)];
  assert.match(text, new RegExp(`^ *${name} +ready +${start} +in \\d+s *$`, 'm'));
  assert.match(text, new RegExp(`^ *${name}-missing +failed .*v1-missing does not exist`, 'm'));
  assert.match(text, new RegExp(`^ *${name} +${start} .*\\ds ago +pinned .*\\ds ago *$`, 'm'));
});

test(
  'a daemon whose page finds its address in use serves volumes without it, and says so',
  needs('root'),
  async () => {
    await using other = await testNode();
    await using second = await startDaemon(other, { flags: { '--page-listen': address } });
    const { problems } = await second.artifacts.GetStatus({});
    assert.match(
      problems.join(),
      /there is no status page: cannot listen on .* choose another --page-listen/,
    );
  },
);
