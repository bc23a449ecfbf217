import { ArtifactError } from '../util/error.ts';
import { compileGlob } from '../util/glob.ts';

/** About a second of work: a user who writes both globs and names could otherwise cause days of it. */
const maxGlobSteps = 5_000_000;

/**
 * Selects layers by their names. It yields after each small step.
 * @throws ArtifactError `unmountable`, from the matcher, if names and globs exceed the budget.
 */
export function toSelector(
  globs: { readonly include: readonly string[]; readonly exclude: readonly string[] },
  label: string,
): (name: string) => Generator<void, boolean> {
  const [include = [], exclude = []] = [globs.include, globs.exclude].map(each => each.map(compileGlob));
  const budget = { steps: maxGlobSteps };
  function* matches(compiled: typeof include, subject: string): Generator<void, boolean> {
    budget.steps -= compiled.length;
    for (const matchesName of compiled) if (yield* matchesName(subject, budget)) return true;
    return false;
  }
  return function* isSelected(name) {
    if (include.length === 0 && exclude.length === 0) return true;
    const subject = name
      .split('/')
      .filter(part => part !== '' && part !== '.')
      .join('/');
    const isExcluded = yield* matches(exclude, subject);
    const selected = !isExcluded && (include.length === 0 || (yield* matches(include, subject)));
    if (budget.steps >= 0) return selected;
    throw new ArtifactError(
      'unmountable',
      `include and exclude take too long to match against the names of the layers of ${label}; write fewer globs, with fewer stars`,
    );
  };
}
