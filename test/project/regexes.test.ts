import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseSync } from 'oxc-parser';
import { analyse } from 'scslre';

const source = fileURLToPath(new URL('../../src/', import.meta.url));

type Found = { readonly path: string; readonly pattern: string; readonly flags: string };

/** Patterns that take more than linear time, and why no text from outside can make them slow. */
const bounded: Readonly<Record<string, string>> = {
  'cli/program.ts': 'reads an error of the parser of the command line, once',
  'configfile/toml.ts': 'reads a line of a configuration file',
  'kube/event-object.ts': 'a name of Kubernetes has at most 253 characters',
  'oci/reference.ts': 'the text is cut first',
  'oci/reference-glob.ts': 'reads a pattern of the policy of the node',
  'policy/signature/identity.ts': 'reads a prefix of the policy of the node',
  'registry/config/registries-conf.ts': 'reads a configuration file',
  'registry/config/registry-rule.ts': 'reads a configuration file',
  'util/go-duration.ts': 'the text has at most 64 characters',
};

test('no regular expression takes more than linear time for a text from outside', () => {
  const all = globSync('**/*.ts', { cwd: source })
    .filter(path => !path.endsWith('.test.ts'))
    .flatMap(path => findPatterns(path, readFileSync(source + path, 'utf8')));
  assert.ok(all.length > 100, `only ${all.length} were found`);
  const slow = all.filter(isSlow);
  assert.deepEqual(
    slow
      .filter(({ path }) => bounded[path] === undefined)
      .map(({ path, pattern }) => `${path}: /${pattern}/`),
    [],
  );
  assert.deepEqual(
    Object.keys(bounded).filter(path => !slow.some(found => found.path === path)),
    [],
  );
});

test('a pattern that takes quadratic or exponential time is found', () => {
  const text = String.raw`const a = [/=+$/, /^host:[ \t]*(.*?)[ \t]*$/, /^(?:\d+\.?\d*s)+$/, /^[a-z]+$/];`;
  const slow = findPatterns('a.ts', text).filter(isSlow);
  assert.deepEqual(
    slow.map(({ pattern }) => pattern),
    ['=+$', String.raw`^host:[ \t]*(.*?)[ \t]*$`, String.raw`^(?:\d+\.?\d*s)+$`],
  );
});

function isSlow({ pattern, flags }: Found): boolean {
  return analyse({ source: pattern, flags }).reports.length > 0;
}

function findPatterns(path: string, text: string): readonly Found[] {
  const found: Found[] = [];
  const look = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    const regex: unknown = Reflect.get(node, 'regex');
    if (isRegex(regex)) found.push({ path, pattern: regex.pattern, flags: regex.flags });
    for (const value of Object.values(node)) look(value);
  };
  look(parseSync(path, text).program);
  return found;
}

function isRegex(value: unknown): value is { readonly pattern: string; readonly flags: string } {
  return typeof value === 'object' && value !== null && 'pattern' in value && 'flags' in value;
}
