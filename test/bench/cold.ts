import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { publishRequest, startDaemon, type TestNode, testNode } from '../support/node/daemon.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { toolPath } from '../support/project/tools.ts';
import { oras } from '../support/registry/oras.ts';
import { startRealRegistry } from '../support/registry/real-registry.ts';
import { makeCertificate } from '../support/signing/certificate.ts';
import { type Cost, median, peakMemoryOf, timeCommand, timeProcess } from './measure.ts';
import type { Row } from './rows.ts';

/** Medians over all runs; `peak` is the maximum memory of any of our daemons, in MB. */
export type ColdResult = { readonly ours: Cost; readonly theirs: Cost; readonly peak: number };

/**
 * Publishes an artifact on a new node, and lets the other program pull it too, in turns. Nothing is deleted until the
 * end: after a deletion ext4 creates files slowly for a while (it does not reuse recent inodes), and a virtual machine
 * provides memory slowly. `other`: another build of this program, in place of the row's rival.
 */
export async function runCold(row: Row, runs: number, program: string, other?: string): Promise<ColdResult> {
  await using directory = await temporaryDirectory();
  const tls = row.tls ? makeCertificate() : undefined;
  const certificate = join(directory.path, 'certificate.pem');
  if (tls) await writeFile(certificate, tls.cert);
  await using registry = await startRealRegistry(tls);
  const reference = `${registry.host}/bench/artifact:1`;
  const access = tls ? ['--plain-http=false', '--ca-file', certificate] : ['--plain-http'];
  const files = join(directory.path, 'files');
  await mkdir(files);
  await oras(['push', ...access, reference, ...(await row.make(files))], files);
  await timeCommand('sync', directory.path);
  const manifest = await oras(['manifest', 'fetch', ...access, reference], files);
  const rival = (out: string): string =>
    row.rival === 'oras pull'
      ? `${toolPath('oras')} pull ${access.join(' ')} --no-tty ${reference} --output ${out}`
      : `mkdir ${out} && curl -sSf http://${registry.host}/v2/bench/artifact/blobs/${onlyLayer(manifest)} | tar xz -C ${out}`;

  const ours: Cost[] = [];
  const theirs: Cost[] = [];
  let peak = 0;
  await using nodes = new AsyncDisposableStack();
  for (let run = 0; run < runs; run++) {
    const publish = async (program: string) => {
      const node = nodes.use(await testNode(tls === undefined ? [registry.host] : []));
      return await publishCold(node, reference, tls && certificate, program);
    };
    const published = await publish(program);
    ours.push(published.cost);
    peak = Math.max(peak, published.peak);
    if (other === undefined) theirs.push(await timeCommand(rival(`out-${run}`), directory.path));
    else theirs.push((await publish(other)).cost);
    await timeCommand('sync', directory.path);
  }
  return { ours: medians(ours), theirs: medians(theirs), peak };
}

async function publishCold(
  node: TestNode,
  reference: string,
  certificate: string | undefined,
  program: string,
): Promise<{ readonly cost: Cost; readonly peak: number }> {
  const trust = certificate === undefined ? {} : { '--ca-file': certificate };
  await using daemon = await startDaemon(node, { program, flags: { '--log-level': 'info', ...trust } });
  const request = await publishRequest(node, { reference });
  const options = { deadline: Date.now() + 300_000 };
  const cost = await timeProcess(daemon.pid, () => daemon.csi.NodePublishVolume(request, options));
  const peak = peakMemoryOf(daemon.pid);
  await daemon.csi.NodeUnpublishVolume(request);
  return { cost, peak };
}

function onlyLayer(manifest: string): string {
  const { layers } = JSON.parse(manifest) as { readonly layers: readonly { readonly digest: string }[] };
  return layers[0]?.digest ?? '';
}

function medians(costs: readonly Cost[]): Cost {
  return { wall: median(costs.map(({ wall }) => wall)), cpu: median(costs.map(({ cpu }) => cpu)) };
}
