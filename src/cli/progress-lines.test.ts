import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatBlock, type Reached } from './progress-lines.ts';
import { widthOf } from './width.ts';

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
