import { join } from 'node:path';
import { publishRequest, startDaemon, testNode } from '../../support/node/daemon.ts';
import type { Contender, Place, Running } from '../contender.ts';

/** The driver, as a running daemon that kubelet calls. */
export function openOurs(name: string, version: string, program: string): Contender {
  return {
    name,
    kind: name === 'oci-artifact-csi' ? 'ours' : 'rival',
    version: () => version,
    makes: 'a volume',
    programs: [],
    takes: () => true,
    open: place => startOurs(place, program),
  };
}

async function startOurs({ path, source, tags }: Place, program: string): Promise<Running> {
  await using stack = new AsyncDisposableStack();
  const { host, repository, ca } = source;
  const made = stack.use(await testNode(ca === undefined ? [host] : []));
  const node = { ...made, stateDir: join(path, 'state') };
  const trust = ca === undefined ? {} : { '--ca-file': ca };
  const daemon = stack.use(await startDaemon(node, { program, flags: { '--log-level': 'info', ...trust } }));
  const requests = new Map<string, Awaited<ReturnType<typeof publishRequest>>>();
  for (const { tag } of tags)
    requests.set(tag, await publishRequest(node, { reference: `${host}/${repository}:${tag}` }));
  const resources = stack.move();
  return {
    pids: [daemon.pid],
    async pull({ tag, files, bytes }) {
      const request = requests.get(tag);
      if (request === undefined) throw new Error(`${tag} was not announced`);
      await daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 300_000 });
      return { usage: { cpu: 0, peak: 0 }, content: { directory: request.target_path, files, bytes } };
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}
