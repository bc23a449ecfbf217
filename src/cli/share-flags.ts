import { parseReferenceGlob } from '../oci/reference-glob.ts';
import type { ShareRule } from '../ports/sharing.ts';
import { invalidValue } from '../util/error.ts';
import type { Flags } from './flag.ts';
import { optional, parseSocketPath } from './values.ts';

/** The flags of `serve` for what it shares with other programs of the node. */
export const shareFlags: Flags<'containerdSocket' | 'share'> = {
  containerdSocket: {
    value: 'PATH',
    says: 'socket that shows the cache as containerd does, read-only, for Spegel and ctr; empty: none',
    preset: '',
    parse: optional(parseSocketPath),
  },
  share: {
    value: 'LIST',
    says: 'what that socket shows, separated by commas: public (what registries serve without a credential), and globs of references',
    preset: 'public',
    parse: parseShare,
  },
};

/** `public`, globs of references, or both, separated by commas. */
function parseShare(text: string): ShareRule {
  const words = text.split(',').map(word => word.trim());
  const globs = words.filter(word => word !== 'public').map(toGlob);
  return { isPublic: words.includes('public'), globs };
}

function toGlob(text: string): string {
  if (text === '')
    throw invalidValue('list', text, 'must be public, or globs such as registry.example.com/models/**');
  const { glob, flaw } = parseReferenceGlob(text);
  if (flaw === undefined) return glob;
  throw invalidValue('glob', text, flaw);
}
