import { performance } from 'node:perf_hooks';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { gzip, tarOf } from '../support/oci/tar.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { percentile } from './standing.ts';

/**
 * `node test/bench/existing.ts`: milliseconds of NodePublishVolume of an existing view, by its number of files. The
 * daemon checks the stamp of each file before it mounts the view again.
 */
const publishes = 30;

await using registry = await openFaultyRegistry();
await using node = await testNode([registry.host]);
await using daemon = await startDaemon(node, { flags: { '--log-level': 'info' } });

const names = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, at) => `d${at % 100}/${at}`);
const blobs = names(5_000).map(name => ({ name, bytes: Buffer.from(name) }));
const tar = async (count: number) => {
  const bytes = gzip(await tarOf(names(count).map(name => [{ name }, name])));
  return [{ bytes, mediaType: 'application/vnd.acme.layer.v1.tar+gzip' }];
};

for (const [what, layers] of [
  ['one file', [{ name: 'a', bytes: Buffer.from('a') }]],
  ['5,000 blobs', blobs],
  ['a layer of 5,000 files', await tar(5_000)],
  ['a layer of 50,000 files', await tar(50_000)],
] as const) {
  const { reference } = await registry.push(what.replaceAll(/\W/g, '-'), 'v1', layers);
  const publish = async (): Promise<number> => {
    const request = await publishRequest(node, { reference });
    const start = performance.now();
    await daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 300_000 });
    const took = performance.now() - start;
    await daemon.csi.NodeUnpublishVolume(request);
    return took;
  };
  await publish();
  const times: number[] = [];
  for (let nth = 0; nth < publishes; nth++) times.push(await publish());
  const [least, middle] = [percentile(times, 0), percentile(times, 0.5)].map(ms => ms.toFixed(1));
  console.log(`${what}: least ${least} ms, median ${middle} ms`);
}
