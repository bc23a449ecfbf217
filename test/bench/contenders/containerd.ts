import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { startChild, waitUntil } from '../../support/node/child.ts';
import { toolPath } from '../../support/project/tools.ts';
import type { Contender, Place, Running } from '../contender.ts';
import { runTimed } from '../cost.ts';
import { versionOf } from '../version.ts';

/** A running containerd that ctr calls. It unpacks an image with its overlayfs snapshotter. */
export function openContainerd(name: string, unpacks: number): Contender {
  return {
    name,
    kind: 'rival',
    version: () => versionOf('containerd'),
    makes: 'snapshots',
    programs: ['containerd', 'ctr'],
    takes: ({ kind }) => kind !== 'files',
    open: place => startContainerd(place, unpacks),
  };
}

/** @param unpacks how many layers at once; 1 is the preset. */
async function startContainerd({ path, source, prefix }: Place, unpacks: number): Promise<Running> {
  const [root, state, socket] = [join(path, 'root'), join(path, 'run'), join(path, 'containerd.sock')];
  const plugins = ['cri.v1.images', 'cri.v1.runtime', 'grpc.v1.cri', 'nri.v1.nri'];
  const config = `
version = 3
root = '${root}'
state = '${state}'
disabled_plugins = [${plugins.map(name => `'io.containerd.${name}'`).join(', ')}]
[grpc]
  address = '${socket}'
[plugins.'io.containerd.transfer.v1.local']
  max_concurrent_unpacks = ${unpacks}
`;
  const file = join(path, 'containerd.toml');
  writeFileSync(file, config);
  const env = { ...process.env, HOME: path };
  const daemon = await startChild(toolPath('containerd'), ['--config', file, '--log-level', 'error'], {
    env,
  });
  const ctr = [toolPath('ctr'), '--address', socket];
  const answers = (): boolean => spawnSync(toolPath('ctr'), ['--address', socket, 'version']).status === 0;
  await waitUntil(daemon, answers, 'listening');
  return {
    pids: [daemon.pid],
    async pull({ tag, files, bytes }) {
      const reference = `${source.host}/${source.repository}:${tag}`;
      const argv = [...prefix, ...ctr, 'images', 'pull', '--plain-http', reference];
      return { usage: await runTimed(argv, { cwd: path, env }), content: { directory: root, files, bytes } };
    },
    [Symbol.asyncDispose]: async () => void (await daemon.end('SIGTERM')),
  };
}
