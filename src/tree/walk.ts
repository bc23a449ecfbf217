import type { DirectoryNode, FileNode } from './tree.ts';

/** The limit of Linux: more symlinks in the resolution of one path are a loop (ELOOP). */
export const maxLinks = 40;

/**
 * The remaining steps of all path resolutions that share it: symlinks can make a short path very long. A name of up to
 * 15 characters takes one step, and one more for each 16: that many take as long.
 */
export type Budget = { steps: number };

/** False once there are none left. */
export function spendStep(budget: Budget, name: string): boolean {
  budget.steps -= 1 + (name.length >>> 4);
  return budget.steps >= 0;
}

export type Walk =
  | { readonly kind: 'directory'; readonly node: DirectoryNode }
  | { readonly kind: 'file'; readonly node: FileNode }
  /** `name` is missing in `node`, the last directory of the path. */
  | { readonly kind: 'absent'; readonly node: DirectoryNode; readonly name: string }
  /** `name`, in `node`, is a file, and the path continues. */
  | { readonly kind: 'blocked'; readonly node: DirectoryNode; readonly name: string }
  /** Too many symlinks, or the budget is used up. */
  | { readonly kind: 'loop' };

/**
 * Resolves a path from the root of a tree and follows symlinks, including the last name: an absolute target starts at
 * the tree's root, and `..` at the root stays there, as in a chroot. Nothing outside the tree can be reached.
 */
export function walkTree(root: DirectoryNode, path: readonly string[], budget: Budget): Walk {
  const above: DirectoryNode[] = [];
  let here = root;
  let links = 0;
  const ahead = path.toReversed();
  for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
    if (!spendStep(budget, name)) return { kind: 'loop' };
    if (name === '' || name === '.') continue;
    if (name === '..') {
      here = above.pop() ?? root;
      continue;
    }
    const node = here.children.get(name);
    if (node === undefined) return { kind: 'absent', node: here, name };
    if (node.kind === 'file') {
      return ahead.length === 0 ? { kind: 'file', node } : { kind: 'blocked', node: here, name };
    }
    if (node.kind === 'directory') {
      above.push(here);
      here = node;
      continue;
    }
    if (++links > maxLinks) return { kind: 'loop' };
    if (node.target.startsWith('/')) {
      above.length = 0;
      here = root;
    }
    ahead.push(...node.target.split('/').toReversed());
  }
  return { kind: 'directory', node: here };
}
