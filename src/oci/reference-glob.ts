import { ArtifactError } from '../util/error.ts';
import { flawOfGlob, matchesWhole } from '../util/glob.ts';
import {
  formatReference,
  formatRepository,
  parseReference,
  type Reference,
  withoutHttpsPort,
} from './reference.ts';

/** The parsed text of a glob of references, or why it is not valid. */
type ParsedGlob = { readonly glob: string; readonly flaw?: string };

/** Parses a glob of whole references without digest. A glob that no full reference can match is not valid. */
export function parseReferenceGlob(text: string): ParsedGlob {
  const flaw = flawOfGlob(text);
  if (flaw !== undefined) return { glob: text, flaw };
  const glob = withoutHttpsPort(text);
  const why = /[*?[]/.test(glob) ? flawOf(glob) : flawOfName(glob);
  return why === undefined ? { glob } : { glob, flaw: `matches no reference: ${why}` };
}

/** Whether a glob matches the repository of a full reference, or `repository:tag` of one without a digest. */
export function matchesReference(globs: readonly string[], reference: Reference): boolean {
  const { digest, ...tagged } = reference;
  const names = [formatRepository(reference), ...(digest === undefined ? [formatReference(tagged)] : [])];
  return globs.some(glob => names.some(name => matchesWhole(glob, name)));
}

/** Returns why no full name can match a glob, as far as its registry shows. */
function flawOf(glob: string): string | undefined {
  if (glob.includes('@')) return 'names are matched without digest; write registry/repository';
  if (/[A-Z].*\//.test(glob)) return 'only a tag has upper-case letters';
  if (glob.startsWith('[')) return 'for the brackets of an IPv6 address write ?';
  if (/^[^/]*\*\*/.test(glob)) return undefined;
  const slash = glob.indexOf('/');
  if (slash === -1) return 'it has no repository; write ** for all, or registry/**';
  const [registry, path] = [glob.slice(0, slash), glob.slice(slash + 1)];
  if (!/[.:*?[]/.test(registry) && registry !== 'localhost') {
    return `${registry || 'nothing'} is no registry; write registry/repository in full, such as docker.io/library/*`;
  }
  if (registry === 'index.docker.io') return 'that registry is called docker.io';
  if (registry === 'docker.io' && !/\/|\*\*/.test(path)) {
    return 'docker.io has namespaces; write docker.io/library/* or docker.io/**';
  }
  return undefined;
}

/** Returns why a name without special characters is not in the form in which references are matched. */
function flawOfName(name: string): string | undefined {
  try {
    const parsed = parseReference(name);
    if (parsed.kind === 'short') return 'it names no registry; write registry/repository';
    const { digest, ...tagged } = parsed.reference;
    if (digest !== undefined) return 'names are matched without digest; write registry/repository';
    const full = [formatRepository(tagged), formatReference(tagged)];
    return full.includes(name) ? undefined : `write ${full.join(' or ')}`;
  } catch (thrown) {
    if (thrown instanceof ArtifactError) return thrown.message;
    throw thrown;
  }
}
