import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { daemonOptions, missing } from './node-options.ts';

const wanted = { options: ['--max-semi-space-size=4', '--no-opt'], variables: { MALLOC_ARENA_MAX: '1' } };
const nothing = { options: [], variables: {} };

test('options without a value are missing, and those with another value are kept', () => {
  assert.deepEqual(missing(wanted, [], {}), wanted);
  assert.deepEqual(missing(wanted, wanted.options, wanted.variables), nothing);
  const others = ['--no-warnings', '--max_semi_space_size=16', '--no-opt'];
  assert.deepEqual(missing(wanted, others, { MALLOC_ARENA_MAX: '8' }), nothing);
  assert.deepEqual(missing(wanted, [], { NODE_OPTIONS: '--no-warnings --max-semi-space-size=16' }), {
    ...wanted,
    options: ['--no-opt'],
  });
});

test('the first line of the program has the options of its daemon, which so starts once', () => {
  const [line = ''] = readFileSync(new URL('../main.ts', import.meta.url), 'utf8').split('\n');
  const words = line.split(' ');
  const variables = words.filter(word => /^[A-Z]/.test(word)).map(word => word.split('='));
  assert.deepEqual(missing(daemonOptions, words, Object.fromEntries(variables)), nothing);
});

test('a process restarts with missing options, once, and keeps its ID, options and arguments', () => {
  const script = `
    import { writeSync } from 'node:fs';
    import { ensureNodeOptions } from '${import.meta.resolve('./node-options.ts')}';
    writeSync(1, process.pid + '\\n');
    ensureNodeOptions(${JSON.stringify(wanted)});
    const { execArgv, argv, env } = process;
    console.log(JSON.stringify([execArgv.includes('--no-warnings'), argv.slice(1), env['MALLOC_ARENA_MAX']]));`;
  const args = ['--no-warnings', '--input-type=module-typescript', '--eval', script, '--', 'a', '--b=c d'];
  const env = { ...process.env };
  delete env['MALLOC_ARENA_MAX'];
  const [before, after, report = ''] = execFileSync(process.execPath, args, { encoding: 'utf8', env }).split(
    '\n',
  );
  assert.equal(after, before);
  assert.deepEqual(JSON.parse(report), [true, ['a', '--b=c d'], '1']);
});
