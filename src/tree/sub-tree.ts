import { ArtifactError } from '../util/error.ts';
import { quoteName } from '../util/name.ts';
import { type DirectoryNode, plainAttributes } from './tree.ts';
import { walkTree } from './walk.ts';

/** Far more than 40 symlinks of 4,095 bytes need. */
const maxSteps = 1_000_000;

/**
 * Returns the part of a tree that a volume's `subPath` names: a directory, or a directory with the one file under its
 * requested name, because CSI mounts directories. Symlinks are followed inside the tree only.
 *
 * @throws ArtifactError `unmountable` naming what exists instead.
 */
export function subTree(root: DirectoryNode, subPath: string): DirectoryNode {
  const path = subPath.split('/').filter(part => part !== '' && part !== '.');
  const found = walkTree(root, path, { steps: maxSteps });
  switch (found.kind) {
    case 'directory':
      return found.node;
    case 'file': {
      const children = new Map([[path.at(-1) ?? '', found.node]]);
      return { kind: 'directory', children, attributes: plainAttributes, layer: found.node.layer };
    }
    case 'absent':
      throw refusal(subPath, `there is no ${quoteName(found.name)}, only ${listNames(found.node)}`);
    case 'blocked':
      throw refusal(subPath, `${quoteName(found.name)} is a file`);
    case 'loop':
      throw refusal(subPath, 'its symlinks lead in a circle');
  }
}

function listNames(directory: DirectoryNode): string {
  const names = Array.from(directory.children, ([name]) => name);
  if (names.length === 0) return 'an empty directory';
  const more = names.length > 8 ? ` and ${names.length - 8} more` : '';
  return `${names.slice(0, 8).map(quoteName).join(', ')}${more}`;
}

function refusal(subPath: string, why: string): ArtifactError {
  return new ArtifactError('unmountable', `the artifact has no subPath ${quoteName(subPath)}: ${why}`);
}
