import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { KubeChange, KubePage } from '../../ports/kube-objects.ts';
import { abortable } from '../../util/abortable.ts';
import { ArtifactError } from '../../util/error.ts';
import { createWatchedList } from './watched-list.ts';

const object = (name: string, resourceVersion = '1'): unknown => ({ metadata: { name, resourceVersion } });
const page = (version: string, ...names: readonly string[]): KubePage => ({
  version,
  items: names.map(name => object(name)),
});

/** A list over an API that answers one after the other. */
function openWorld(t: TestContext, most = 10) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  t.mock.method(Math, 'random', () => 0.5);
  const asked: string[] = [];
  const told: string[] = [];
  const pages: (KubePage | Error)[] = [];
  const watches: {
    change(kind: KubeChange['kind'], name: string, version: string): void;
    end(isCurrent: boolean): void;
    fail(error: Error): void;
  }[] = [];
  const list = createWatchedList(
    {
      turn: async () => {},
      note: problem => told.push(problem),
      objects: {
        async page(_, { limit, next }) {
          asked.push(`list ${limit}${next === undefined ? '' : ` from ${next}`}`);
          const answer = pages.shift() ?? assert.fail(`no answer: ${asked.join(', ')}`);
          if (answer instanceof Error) throw answer;
          return answer;
        },
        watch(_, { version, seconds }, onChange, signal) {
          asked.push(`watch ${version} ${seconds}`);
          const { promise, resolve, reject } = Promise.withResolvers<boolean>();
          const change = (kind: KubeChange['kind'], name: string, at: string): void =>
            onChange({ kind, object: object(name, at) });
          watches.push({ change, end: resolve, fail: reject });
          return abortable(promise, signal);
        },
      },
    },
    ['apis'],
    (found): string => (found as { metadata: { name: string } }).metadata.name,
    most,
  );
  const ending = new AbortController();
  t.after(() => ending.abort());
  return {
    list,
    asked,
    told,
    pages,
    watches,
    run: () => void list.run(ending.signal),
    async pass(ms: number) {
      for (let i = 0; i < 20; i++) await turn();
      t.mock.timers.tick(ms);
      for (let i = 0; i < 20; i++) await turn();
    },
  };
}

test('a list is read in parts, followed, and watched again from its last version', async t => {
  const { list, asked, pages, watches, run, pass } = openWorld(t);
  pages.push({ ...page('7', 'a', 'b'), next: 'x' }, page('9', 'c'));
  assert.equal(list.items(), undefined);
  run();
  await pass(0);
  assert.deepEqual(list.items(), ['a', 'b', 'c']);
  watches[0]?.change('put', 'd', '8');
  watches[0]?.change('gone', 'a', '9');
  watches[0]?.change('mark', '', '12');
  assert.deepEqual(list.items(), ['b', 'c', 'd']);
  watches[0]?.end(true);
  await pass(1);
  assert.deepEqual(asked, ['list 64', 'list 64 from x', 'watch 7 450', 'watch 12 450']);
});

test('after a version that is too old, all is listed again, and what has gone meanwhile is gone', async t => {
  const { list, asked, pages, watches, run, pass } = openWorld(t);
  pages.push(page('7', 'a', 'b'));
  run();
  await pass(0);
  pages.push(page('20', 'b'));
  watches[0]?.end(false);
  await pass(1);
  assert.deepEqual(list.items(), ['b']);
  assert.deepEqual(asked, ['list 64', 'watch 7 450', 'list 64', 'watch 20 450']);
});

test('a failure keeps what is known, is told once, and is tried again after growing waits', async t => {
  const { list, asked, told, pages, watches, run, pass } = openWorld(t);
  pages.push(page('7', 'a'));
  run();
  await pass(0);
  watches[0]?.fail(new ArtifactError('unavailable', 'the API is away'));
  await pass(3_700);
  assert.equal(asked.length, 2);
  await pass(100);
  assert.deepEqual(asked.slice(2), ['watch 7 450']);
  watches[1]?.fail(new ArtifactError('unavailable', 'the API is away'));
  await pass(7_400);
  assert.equal(asked.length, 3);
  await pass(200);
  assert.equal(asked.length, 4);
  assert.deepEqual([told, list.problem(), list.items()], [['the API is away'], 'the API is away', ['a']]);
  watches[2]?.end(true);
  await pass(1);
  assert.equal(list.problem(), undefined);
});

test('parts that are too long are asked for again in smaller ones', async t => {
  const { list, asked, pages, run, pass } = openWorld(t);
  pages.push(new ArtifactError('exhausted', 'too long'), page('7', 'a'));
  run();
  await pass(0);
  await pass(5_000);
  assert.deepEqual(asked, ['list 64', 'list 16', 'watch 7 450']);
  assert.deepEqual(list.items(), ['a']);
});

test('more objects than are kept are left out, and changes of kept ones count', async t => {
  const { list, pages, watches, run, pass } = openWorld(t, 2);
  pages.push(page('7', 'a', 'b', 'c'));
  run();
  await pass(0);
  watches[0]?.change('put', 'd', '8');
  watches[0]?.change('put', 'a', '9');
  assert.deepEqual(list.items(), ['a', 'b']);
  watches[0]?.change('gone', 'a', '10');
  watches[0]?.change('put', 'e', '11');
  assert.deepEqual(list.items(), ['b', 'e']);
});
