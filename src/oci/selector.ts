import { ArtifactError } from '../util/error.ts';
import { compileGlob } from '../util/glob.ts';

/** About a second of work: whoever writes both globs and names could ask for days of it. */
const maxGlobSteps = 5_000_000;

/** @throws ArtifactError `unmountable`, the selector, where names and globs are too much to match. */
export function toSelector(
  globs: { readonly include: readonly string[]; readonly exclude: readonly string[] },
  label: string,
): (name: string) => boolean {
  const [include, exclude] = [globs.include, globs.exclude].map(each => each.map(compileGlob));
  const budget = { steps: maxGlobSteps };
  return name => {
    const subject = name
      .split('/')
      .filter(part => part !== '' && part !== '.')
      .join('/');
    const matches = (compiled: typeof include): boolean => {
      const matched = compiled?.some(matchesName => matchesName(subject, budget)) === true;
      budget.steps -= compiled?.length ?? 0;
      return matched;
    };
    const selected = !matches(exclude) && (globs.include.length === 0 || matches(include));
    if (budget.steps >= 0) return selected;
    throw new ArtifactError(
      'unmountable',
      `include and exclude take too long to match against the names of the layers of ${label}; write fewer globs, with fewer stars`,
    );
  };
}
