import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import type { Progress } from '../ports/usecases.ts';
import { formatProgress, openProgress } from './progress.ts';

const at = (bytes: number, totalBytes = 1000): Progress => ({
  phase: 'download',
  bytes,
  totalBytes,
  layers: 1,
  totalLayers: 5,
  bytesPerSecond: 0,
});

/** A stream that records its output; with isTTY it has the properties of a terminal. */
function remember(isTTY: boolean): {
  readonly stream: Writable & { isTTY: boolean };
  readonly text: () => string;
} {
  const chunks: string[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _, done) {
      chunks.push(chunk.toString());
      done();
    },
  });
  return { stream: Object.assign(stream, { isTTY, columns: 120 }), text: () => chunks.join('') };
}

test('progress says how far and of what, and 100 % only at the end', () => {
  assert.equal(formatProgress(at(999)), 'download 99 % (999 B of 1.0 KiB, 1 of 5 layers)');
  assert.equal(formatProgress(at(1000)), 'download 100 % (1.0 KiB of 1.0 KiB, 1 of 5 layers)');
  assert.equal(formatProgress({ ...at(0, 0), phase: 'resolve' }), 'resolve');
  assert.equal(formatProgress({ phase: 'read', bytes: 5, totalBytes: 0 }), 'read');
  assert.equal(formatProgress({ phase: 'read', bytes: 5, totalBytes: 10 }), 'read 50 % (5 B of 10 B)');
});

test('without a terminal a long download is at most eleven lines', () => {
  const { stream, text } = remember(false);
  using view = openProgress(stream, 'text');
  for (let bytes = 0; bytes <= 1000; bytes++) view.update(at(bytes));
  assert.equal(text().trimEnd().split('\n').length, 11);
});

test('a terminal gets a line for each layer and one for all, drawn again in place and gone at the end', () => {
  const { stream, text } = remember(true);
  const current = [{ name: 'weights.bin', bytes: 400, totalBytes: 900, bytesPerSecond: 50 }];
  {
    using view = openProgress(stream, 'text');
    view.update({ ...at(0, 0), phase: 'resolve' });
    view.update({ ...at(500), current });
    view.update(at(1000));
  }
  const [first, second, third, end] = text()
    .split(/\u001b\[(\d)A\r\u001b\[J/)
    .filter((_, index) => index % 2 === 0);
  assert.match(first ?? '', /^weights\.bin +44 % .*\ndownload +50 % .*1 of 5 layers.*\n$/s);
  assert.match(second ?? '', /^download +100 % .*\n$/);
  assert.deepEqual([third, end], ['', undefined], 'nothing is left');
});

test('a terminal shows nothing where names alone were asked for', () => {
  const { stream, text } = remember(true);
  using view = openProgress(stream, 'name');
  view.update(at(500));
  assert.equal(text(), '');
});

test('a wait is printed as a line, also on a terminal', () => {
  const waits = 'r.example asks to wait until 2026-05-01T12:34:56Z';
  assert.equal(formatProgress({ ...at(0, 0), phase: 'resolve', waits }), waits);
  for (const isTTY of [false, true]) {
    const { stream, text } = remember(isTTY);
    {
      using view = openProgress(stream, 'text');
      view.update({ ...at(0, 0), phase: 'resolve', waits });
      view.update({ ...at(0, 0), phase: 'resolve', waits });
      view.update(at(500));
    }
    assert.equal(text().split(waits).length, 2);
  }
});
