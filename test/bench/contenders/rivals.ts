import { dirname } from 'node:path';
import { toolPath } from '../../support/project/tools.ts';
import { versionOf } from '../version.ts';
import type { Command, Task } from './command.ts';

const referenceOf = ({ source, tag }: Task): string => `${source.host}/${source.repository}:${tag.tag}`;
const layerOf = ({ source, tag }: Task): string =>
  `http://${source.host}/v2/${source.repository}/blobs/${tag.layers[0]?.digest}`;
const unpack = (task: Task, tar: string): readonly string[] => [
  'bash',
  '-c',
  `set -o pipefail; curl -sSf ${layerOf(task)} | ${tar} -C ${task.out}`,
];

/** Programs that people use to bring artifacts to a machine. */
export const rivals: readonly Command[] = [
  {
    name: 'oras pull',
    kind: 'rival',
    version: () => versionOf('oras'),
    makes: 'files',
    programs: ['oras'],
    takes: ['files', 'gzip'],
    argv: task => [
      toolPath('oras'),
      'pull',
      '--no-tty',
      ...(task.source.ca === undefined
        ? ['--plain-http']
        : ['--plain-http=false', '--ca-file', task.source.ca]),
      '--output',
      task.out,
      referenceOf(task),
    ],
  },
  {
    name: 'skopeo copy',
    kind: 'rival',
    version: () => versionOf('skopeo'),
    makes: 'an OCI layout',
    programs: ['skopeo'],
    takes: ['files'],
    argv: task => [
      toolPath('skopeo'),
      '--insecure-policy',
      'copy',
      '--quiet',
      '--preserve-digests',
      ...(task.source.ca === undefined
        ? ['--src-tls-verify=false']
        : ['--src-cert-dir', dirname(task.source.ca)]),
      `docker://${referenceOf(task)}`,
      `oci:${task.out}:1`,
    ],
  },
  {
    name: 'crane pull',
    kind: 'rival',
    version: () => versionOf('crane'),
    makes: 'an OCI layout',
    programs: ['crane'],
    takes: ['files'],
    argv: task => [toolPath('crane'), 'pull', '--format=oci', referenceOf(task), task.out],
  },
  {
    name: 'curl | tar xz',
    kind: 'rival',
    version: () => `${versionOf('curl')} | ${versionOf('tar')}`,
    makes: 'files',
    programs: ['curl', 'tar'],
    takes: ['gzip'],
    argv: task => unpack(task, 'tar xz'),
  },
  {
    name: 'curl | zstd -d | tar x',
    kind: 'rival',
    version: () => (['curl', 'zstd', 'tar'] as const).map(versionOf).join(' | '),
    makes: 'files',
    programs: ['curl', 'tar', 'zstd'],
    takes: ['zstd'],
    argv: task => unpack(task, 'zstd -d | tar x'),
  },
];
