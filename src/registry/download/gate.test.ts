import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openGate } from './gate.ts';

test('early bytes are kept in order, and a sender that waits for the promise is held back', async () => {
  const gate = openGate();
  const memory = Buffer.from('one');
  const waits = [gate.receive(memory)];
  memory.write('two');
  waits.push(gate.receive(memory));
  assert.ok(waits.every(wait => wait instanceof Promise));
  const taken: string[] = [];
  gate.open(piece => void taken.push(Buffer.from(piece).toString()));
  await Promise.all(waits);
  assert.equal(gate.receive(Buffer.from('three')), undefined);
  assert.deepEqual(taken, ['one', 'two', 'three']);
});

test('errors of the receiver are thrown', () => {
  const gate = openGate();
  void gate.receive(Buffer.from('one'));
  const refuse = (): never => assert.fail('full');
  assert.throws(() => gate.open(refuse), /full/);
  assert.throws(() => gate.receive(Buffer.from('two')), /full/);
});
