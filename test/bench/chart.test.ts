import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toChart } from './chart.ts';
import { sampleReport } from './sample.ts';

test('a bar is as long as its time, and the floor is a line', () => {
  const chart = toChart(sampleReport, ['first', 'second']);
  const bars = [...chart.matchAll(/<rect class="(\w+)" x="210" y="\d+" width="([\d.]+)"/g)];
  assert.deepEqual(
    bars.map(([, kind, length]) => [kind, Number(length)]),
    [
      ['ours', 260],
      ['rival', 520],
    ],
  );
  assert.match(chart, /<path class="floor" d="M 340\.0 \d+ v 30"\/>/);
  assert.match(chart, /a &lt; b/);
  assert.match(chart, /first.*\n.*second/);
});
