import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { gzip, tarOf } from '../support/oci/tar.ts';
import { needs } from '../support/project/tools.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

test('limits, name and log format are those of the flags, each in its own place', needs('root'), async () => {
  await using registry = await openFaultyRegistry();
  await using node = await testNode([registry.host]);
  await using daemon = await startDaemon(node, {
    flags: {
      '--node-id': 'node-7',
      '--log-format': 'text',
      '--max-artifact-size': '2MiB',
      '--max-layer-entries': '20',
      '--max-layer-size': '30MiB',
      '--max-layer-ratio': '40',
    },
  });
  assert.equal((await daemon.csi.NodeGetInfo({})).node_id, 'node-7');
  assert.match(daemon.output(), /^\S+Z INFO serving CSI and ociartifact.v1 on the socket endpoint=\S+$/m);

  const publish = async (tag: string, bytes: Buffer, mediaType: string) => {
    const { reference } = await registry.push('limits', tag, [{ bytes, mediaType }]);
    const { code, text } = await outcomeOf(
      daemon.csi.NodePublishVolume(await publishRequest(node, { reference })),
    );
    assert.equal(code, 'FAILED_PRECONDITION', text);
    return text;
  };
  const tar = 'application/vnd.acme.layer.v1.tar';
  const large = await publish('large', randomBytes(3 << 20), 'text/plain');
  assert.match(large, /has 3\.0 MiB, and --max-artifact-size allows 2\.0 MiB/);
  const many = await tarOf(Array.from({ length: 21 }, (_, nth) => [{ name: `f${nth}` }, 'x'] as const));
  assert.match(await publish('many', many, tar), /more than 20 entries .*--max-layer-entries/);
  const zeros = gzip(await tarOf([[{ name: 'zeros' }, Buffer.alloc(25 << 20)]]));
  assert.match(await publish('zeros', zeros, `${tar}+gzip`), /more than 40 times .*--max-layer-ratio/);
  const noise = [{ name: 'noise' }, randomBytes(900_000)] as const;
  const long = gzip(await tarOf([noise, [{ name: 'zeros' }, Buffer.alloc(30 << 20)]]));
  assert.match(
    await publish('long', long, `${tar}+gzip`),
    /unpacks to more than 30\.0 MiB \(--max-layer-size\)/,
  );
});
