import { toolPath } from '../../support/project/tools.ts';
import type { Command, Task } from './command.ts';

const all = ['files', 'gzip', 'zstd', 'image'] as const;

/** test/tools/go/bench/floor: what is left when a client does nothing but to receive, or to receive, hash and write. */
export const floors: readonly Command[] = [
  {
    name: 'receive only',
    kind: 'floor',
    version: () => '',
    makes: 'nothing',
    programs: ['floor'],
    takes: all,
    argv: task => download(task, ''),
  },
  {
    name: 'receive, hash, write',
    kind: 'floor',
    version: () => '',
    makes: 'the blobs',
    programs: ['floor'],
    takes: all,
    argv: task => download(task, `-output ${task.out}`),
  },
];

function download({ source, row, list }: Task, output: string): readonly string[] {
  const { connections, range = 0 } = row.floor;
  const trust = source.ca === undefined ? '' : `-ca ${source.ca}`;
  const scheme = source.ca === undefined ? 'http' : 'https';
  const url = `${scheme}://${source.host}/v2/${source.repository}/blobs/`;
  const options = `-connections ${connections} -range ${range} ${trust} ${output}`;
  return ['bash', '-c', `exec ${toolPath('floor')} ${options} ${url} < ${list}`];
}
