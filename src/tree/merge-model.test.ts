import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { merge, type Short, type Shown, show } from '../../test/support/oci/merging.ts';

/** The model: every layer is extracted to nested objects, whiteouts first, as the OCI specification describes. */
function model(layers: readonly (readonly Short[])[]): Shown {
  const root: Shown = {};
  for (const shorts of layers) {
    for (const short of shorts) {
      const path = (typeof short === 'string' ? short : short[0]).split('/').filter(part => part !== '');
      const name = path.pop() ?? '';
      if (!name.startsWith('.wh.')) continue;
      const parent = find(root, path);
      if (parent === undefined) continue;
      if (name === '.wh..wh..opq') for (const key of Object.keys(parent)) delete parent[key];
      else delete parent[name.slice(4)];
    }
    for (const short of shorts) {
      const path = (typeof short === 'string' ? short : short[0]).split('/').filter(part => part !== '');
      const name = path.pop() ?? '';
      const parent = make(root, path);
      if (name.startsWith('.wh.')) continue;
      if (typeof short !== 'string') parent[name] = short[1];
      else if (typeof parent[name] !== 'object') parent[name] = {};
    }
  }
  return root;
}

function find(root: Shown, path: readonly string[]): Shown | undefined {
  let here: Shown | string | number | undefined = root;
  for (const name of path) here = typeof here === 'object' ? here[name] : undefined;
  return typeof here === 'object' ? here : undefined;
}

function make(root: Shown, path: readonly string[]): Shown {
  let here = root;
  for (const name of path) {
    const next = here[name];
    const directory = typeof next === 'object' ? next : {};
    here[name] = directory;
    here = directory;
  }
  return here;
}

test('image: any layers merge as if they were extracted one after the other', () => {
  // Files end in x and directories do not, so no layer has a file as a parent.
  const parents = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 3 });
  const short: fc.Arbitrary<Short> = fc.oneof(
    fc
      .tuple(parents, fc.constantFrom('x', 'ax', 'bx'), fc.nat(99))
      .map(([path, name, body]) => [[...path, name].join('/'), body] as const),
    fc
      .array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 3 })
      .map(path => `${path.join('/')}/`),
    fc
      .tuple(parents, fc.constantFrom('.wh.a', '.wh.b', '.wh.x', '.wh..wh..opq'))
      .map(([path, name]) => [...path, name].join('/')),
  );
  fc.assert(
    fc.property(fc.array(fc.array(short, { maxLength: 8 }), { maxLength: 4 }), layers => {
      assert.deepEqual(show(merge('image', ...layers)), model(layers));
    }),
    { numRuns: 3000 },
  );
});

test('image: files and directories replace each other across layers as in the model', () => {
  const name = fc.constantFrom('a', 'b');
  // One entry per layer, so that any kind can meet any other across layers and none within one.
  const short: fc.Arbitrary<Short> = fc.oneof(
    fc
      .tuple(fc.array(name, { minLength: 1, maxLength: 3 }), fc.nat(99))
      .map(([path, body]) => [path.join('/'), body] as const),
    fc.array(name, { minLength: 1, maxLength: 3 }).map(path => `${path.join('/')}/`),
    fc
      .tuple(fc.array(name, { maxLength: 2 }), name)
      .map(([path, last]) => [...path, `.wh.${last}`].join('/')),
  );
  fc.assert(
    fc.property(fc.array(short, { maxLength: 8 }), shorts => {
      const layers = shorts.map(one => [one]);
      assert.deepEqual(show(merge('image', ...layers)), model(layers));
    }),
    { numRuns: 3000 },
  );
});
