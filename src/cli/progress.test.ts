import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import type { Progress } from '../ports/usecases.ts';
import { formatBlock, formatProgress, openProgress, type Reached } from './progress.ts';
import { widthOf } from './width.ts';

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

test('without a terminal a phase of unknown size has no line', () => {
  const { stream, text } = remember(false);
  using view = openProgress(stream, 'text');
  for (const phase of ['check', 'read', 'unpack']) view.update({ phase, bytes: 0, totalBytes: 0 });
  assert.equal(text(), '');
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

const MiB = 2 ** 20;
const pull: Reached = {
  phase: 'download',
  bytes: 300 * MiB,
  totalBytes: 1000 * MiB,
  layers: 1,
  totalLayers: 3,
  bytesPerSecond: 10 * MiB,
  current: [
    { name: 'weights/model.safetensors', bytes: 250 * MiB, totalBytes: 500 * MiB, bytesPerSecond: 5 * MiB },
    {
      name: 'application/vnd.oci.image.layer.v1.tar+gzip',
      bytes: 50 * MiB,
      totalBytes: 500 * MiB,
      bytesPerSecond: 0,
    },
  ],
};

const table: readonly (readonly [columns: number, lines: readonly string[]])[] = [
  [
    140,
    [
      'weights/model.safetensors                  50 %  250 MiB of 500 MiB    5.0 MiB/s   50s left  ██████████░░░░░░░░░░',
      'application/vnd.oci.image.layer.v1.tar+…   10 %  50.0 MiB of 500 MiB   0 B/s                 ██░░░░░░░░░░░░░░░░░░',
      'download                                   30 %  300 MiB of 1.0 GiB    10.0 MiB/s  70s left  1 of 3 layers  ██████░░░░░░░░░░░░░░',
    ],
  ],
  [
    80,
    [
      'weights/model.safetensors       50 %  250 MiB of 500 MiB    5.0 MiB/s   50s left',
      'application/vnd.oci.image.la…   10 %  50.0 MiB of 500 MiB   0 B/s',
      'download                        30 %  300 MiB of 1.0 GiB    10.0 MiB/s  70s left',
    ],
  ],
  [
    40,
    [
      'weights/mo…   50 %  250 MiB of 500 MiB',
      'applicatio…   10 %  50.0 MiB of 500 MiB',
      'download      30 %  300 MiB of 1.0 GiB',
    ],
  ],
  [20, ['weights/mode…   50 %', 'application/…   10 %', 'download        30 %']],
  [8, ['…   50 %', '…   10 %', '…   30 %']],
];

for (const [columns, lines] of table) {
  test(`a terminal of ${columns} columns has a line for each layer under way, and one for all`, () => {
    assert.deepEqual(formatBlock(pull, columns), lines);
  });
}

test('no line is wider than the terminal, whatever layers are called', () => {
  for (const name of ['模型'.repeat(40), 'x'.repeat(300), '', 'a\u001b[2J\nb', '👩‍👩‍👧‍👦'.repeat(30)]) {
    const layer = { name, bytes: 1, totalBytes: 2 ** 50, bytesPerSecond: 1 };
    for (let columns = 8; columns <= 200; columns++) {
      for (const line of formatBlock({ ...pull, current: [layer] }, columns)) {
        assert.ok(widthOf(line) <= columns, `${line} has ${widthOf(line)} of ${columns} columns`);
        assert.doesNotMatch(line, /[\u0000-\u001f\u007f-\u009f]/);
      }
    }
  }
});

test('what has no size yet is its phase, and what is counted without layers says nothing of them', () => {
  assert.deepEqual(formatBlock({ phase: 'resolve', bytes: 0, totalBytes: 0 }, 80), ['resolve']);
  assert.deepEqual(formatBlock({ phase: 'verify', bytes: 5, totalBytes: 10 }, 60), [
    'verify   50 %  5 B of 10 B           0 B/s',
  ]);
});
