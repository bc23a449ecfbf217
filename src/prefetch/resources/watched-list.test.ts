import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { KubeChange, KubePage } from '../../ports/kube-objects.ts';
import { abortable } from '../../util/abortable.ts';
import { ArtifactError } from '../../util/error.ts';
import { createWatchedList } from './watched-list.ts';

/** `shop/a` is of a namespace. */
function object(path: string, resourceVersion = '1'): unknown {
  const [name, namespace] = path.split('/').reverse();
  return { metadata: { name, resourceVersion, ...(namespace && { namespace }) } };
}
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
  watches[2]?.change('mark', '', '7'); // it began, and may last for minutes
  assert.equal(list.problem(), undefined);
  watches[2]?.fail(new ArtifactError('unavailable', 'the API is away'));
  await pass(3_700);
  assert.equal(asked.length, 4);
  await pass(100);
  assert.equal(asked.length, 5);
});

test('parts that are too long are asked for again in smaller ones, which grow again', async t => {
  const { list, asked, pages, run, pass } = openWorld(t);
  pages.push({ ...page('7', 'a'), next: 'x' }, new ArtifactError('exhausted', 'too long'));
  pages.push({ ...page('8', 'b'), next: 'y' }, page('9', 'c'));
  run();
  await pass(0);
  assert.deepEqual(asked, ['list 64', 'list 64 from x', 'list 16 from x', 'list 32 from y', 'watch 7 450']);
  assert.deepEqual(list.items(), ['a', 'b', 'c']);
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

test('a namespace with many objects leaves room for others, and what is left out is told', async t => {
  const { list, asked, pages, watches, run, pass } = openWorld(t, 8);
  pages.push({ ...page('7', 'evil/a', 'evil/b', 'evil/c'), next: 'x' }, page('7', 'shop/a'));
  run();
  await pass(0);
  assert.deepEqual([list.items(), list.isCut()], [['a', 'b', 'a'], true]);
  assert.match(
    list.problem() ?? '',
    /^there are too many apis: a node follows 8 of them, and 2 of one namespace/,
  );
  watches[0]?.change('gone', 'evil/a', '8');
  pages.push(page('9', 'evil/b', 'evil/c', 'shop/a'));
  watches[0]?.end(true);
  await pass(1);
  assert.deepEqual([list.items(), list.isCut(), list.problem()], [['b', 'c', 'a'], false, undefined]);
  assert.equal(asked.at(-1), 'watch 9 450');
});

test('a list ends when no more objects are kept', async t => {
  const full = openWorld(t, 2);
  full.pages.push({ ...page('7', 'a', 'b'), next: 'x' });
  full.run();
  await full.pass(0);
  assert.deepEqual([full.asked, full.list.isCut()], [['list 64', 'watch 7 450'], true]);
});

test('a list without an end ends after 32 parts', async t => {
  const { list, asked, pages, run, pass } = openWorld(t);
  for (let part = 0; part < 33; part++) pages.push({ ...page('7', `evil/${part}`), next: 'x' });
  run();
  for (let i = 0; i < 10; i++) await pass(0);
  assert.equal(asked.indexOf('watch 7 450'), 32);
  assert.deepEqual([list.items(), list.isCut()], [['0', '1', '2'], true]);
});
