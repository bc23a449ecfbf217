import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeName, nameLength } from '../util/name.ts';
import { createNameTable, rootNumber } from './name-table.ts';

test('names in directories are found in their order, as with a Map for each directory', () => {
  const name = fc.oneof(
    fc.constantFrom('a', 'model-00001-of-00020.bin', 'model-00002-of-00020.bin', 'model-0000', '__proto__'),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }),
    fc.uint8Array({ minLength: 1, maxLength: 255 }).map(decodeName),
    fc.string({ minLength: 250, maxLength: 255 }).filter(text => nameLength(text) <= 255),
  );
  const step = fc.record({ in: fc.nat(8), name });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), steps => {
      const table = createNameTable();
      const directories = [rootNumber];
      const model = new Map<number, Map<string, number>>();
      for (const { in: where, name: added } of steps) {
        const directory = directories[where % directories.length] ?? rootNumber;
        const names = model.get(directory) ?? new Map<string, number>();
        model.set(directory, names);
        assert.equal(table.find(directory, added), names.get(added) ?? 0);
        const number = table.add(directory, added);
        assert.equal(number, names.get(added) ?? number);
        if (!names.has(added)) directories.push(number);
        names.set(added, number);
      }
      for (const [directory, names] of model) {
        assert.deepEqual([...table.namesIn(directory)], [...names.values()]);
        for (const [known, number] of names) {
          assert.equal(table.nameOf(number), known);
          assert.equal(table.directoryOf(number), directory);
        }
      }
    }),
  );
});

test('a name of more than 255 bytes never exists', () => {
  const table = createNameTable();
  assert.equal(table.find(rootNumber, 'é'.repeat(128)), 0);
  assert.throws(() => table.add(rootNumber, 'é'.repeat(128)), RangeError);
});
