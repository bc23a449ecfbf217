import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withFigures } from './readme.ts';
import { sampleReport } from './sample.ts';

const place = (name: string, text = '') => `<!-- bench: ${name} -->${text}<!-- /bench -->`;

test('the figures of a report stand where they belong, however often they are written', () => {
  const readme = `| ${place('fast', 'old')} | ${place('small')} | ${place('shared')}${place('resumed')} |\n\n${place('run', '\n')} rest`;
  const written = withFigures(readme, sampleReport);
  assert.match(
    written,
    /^\| <!-- bench: fast -->A pod gets .* in 1\.2 ms .* takes 1\.0 s, and `a < b` takes 2\.0 s\. Of 1 measured pulls, it is the fastest in 1; .*<!-- /,
  );
  assert.match(written, /started again: 99 MB downloaded/);
  assert.match(written, /The daemon has 70 MB of memory at rest, and at most 1 MB in any pull/);
  assert.match(
    written,
    /^<!-- bench: run -->\n!\[.*\]\(docs\/performance\.svg\)\n\nMeasured on 31 January 2026 by `npm run bench`/m,
  );
  assert.ok(written.endsWith(' rest'));
  assert.equal(withFigures(written, sampleReport), written);
});

test('a place without a figure, and a figure without a place, are errors', () => {
  assert.throws(() => withFigures(place('run'), sampleReport), /no place for fast, shared, resumed, small/);
  assert.throws(
    () => withFigures(place('run') + place('run'), sampleReport),
    /nothing is measured for run, or/,
  );
});
