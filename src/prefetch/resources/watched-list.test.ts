import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { inspect } from 'node:util';
import type { KubeChange, KubeItem, KubePage } from '../../ports/kube-objects.ts';
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
  items: names.map(name => itemOf(name)),
});
const itemOf = (name: string, bytes = 1): KubeItem => ({ object: object(name), bytes });
const range = (prefix: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);
const mib = 1024 * 1024;

const sayWithout = (names: readonly string[]): string =>
  names.length === 0 ? '' : ` without ${names.join(' ')}`;

/** A list over an API that answers one after the other. */
function openWorld(t: TestContext, most = 10) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const clock = { at: 0 };
  t.mock.method(performance, 'now', () => clock.at);
  t.mock.method(Math, 'random', () => 0.5);
  const asked: string[] = [];
  const told: string[] = [];
  const pages: (KubePage | Error)[] = [];
  const watches: {
    change(kind: KubeChange['kind'], name: string, version: string, bytes?: number): Promise<boolean>;
    end(isCurrent: boolean): void;
    fail(error: Error): void;
  }[] = [];
  const list = createWatchedList(
    {
      turn: async () => {},
      note: problem => told.push(problem),
      objects: {
        async page(path, { limit, next, without = [] }) {
          const of = path.length > 1 ? ` ${path.join('/')}` : '';
          asked.push(`list${of} ${limit}${next === undefined ? '' : ` from ${next}`}${sayWithout(without)}`);
          const answer = pages.shift() ?? assert.fail(`no answer: ${asked.join(', ')}`);
          if (answer instanceof Error) throw answer;
          return answer;
        },
        watch(_, { version, seconds, without = [] }, onChange, signal) {
          asked.push(`watch ${version} ${seconds}${sayWithout(without)}`);
          const { promise, resolve, reject } = Promise.withResolvers<boolean>();
          const change = async (
            kind: KubeChange['kind'],
            name: string,
            at: string,
            bytes = 1,
          ): Promise<boolean> => {
            const isWanted = await onChange({ kind, object: object(name, at), bytes });
            if (!isWanted) resolve(true);
            return isWanted;
          };
          watches.push({ change, end: resolve, fail: reject });
          return abortable(promise, signal);
        },
      },
    },
    ['things'],
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
      clock.at += ms;
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
  await watches[0]?.change('put', 'd', '8');
  await watches[0]?.change('gone', 'a', '9');
  await watches[0]?.change('mark', '', '12');
  assert.deepEqual(list.items(), ['b', 'c', 'd']);
  watches[0]?.end(true);
  await pass(1);
  assert.deepEqual(asked, ['list 128', 'list 128 from x', 'watch 7 450', 'watch 12 450']);
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
  assert.deepEqual(asked, ['list 128', 'watch 7 450', 'list 128', 'watch 20 450']);
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
  await watches[2]?.change('mark', '', '7'); // it began, and may last for minutes
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
  assert.deepEqual(asked, ['list 128', 'list 128 from x', 'list 32 from x', 'list 64 from y', 'watch 7 450']);
  assert.deepEqual(list.items(), ['a', 'b', 'c']);
});

test('more objects than are kept are left out, and changes of kept ones count', async t => {
  const { list, pages, watches, run, pass } = openWorld(t, 2);
  pages.push(page('7', 'a', 'b', 'c'));
  run();
  await pass(0);
  await watches[0]?.change('put', 'd', '8');
  await watches[0]?.change('put', 'a', '9');
  assert.deepEqual(list.items(), ['a', 'b']);
  await watches[0]?.change('gone', 'a', '10');
  await watches[0]?.change('put', 'e', '11');
  assert.deepEqual(list.items(), ['b', 'e']);
});

test('of the objects of the cluster, none counts as removed while some are left out', async t => {
  const { list, told, pages, watches, run, pass } = openWorld(t, 2);
  pages.push(page('7', 'a', 'b', 'c'));
  run();
  await pass(0);
  assert.deepEqual([list.items(), list.isPartial()], [['a', 'b'], true]);
  assert.equal(
    list.problem(),
    'there are too many things: a node follows 2 of them, and leaves others out; delete some',
  );
  assert.deepEqual(told, [list.problem()]);
  await watches[0]?.change('gone', 'a', '8');
  pages.push(page('9', 'b', 'c'));
  watches[0]?.end(true);
  await pass(1);
  assert.deepEqual([list.items(), list.isPartial(), list.problem()], [['b', 'c'], false, undefined]);
});

test('namespaces with many objects make room for those of others', async t => {
  const { list, told, pages, watches, run, pass } = openWorld(t, 8);
  pages.push(page('7', ...range('bad/a', 5), ...range('evil/b', 5), 'shop/c'));
  run();
  await pass(0);
  assert.deepEqual(list.items(), ['a0', 'a1', 'a2', 'b0', 'b1', 'b2', 'b3', 'c']);
  assert.equal(list.isPartial(), false);
  assert.match(
    list.problem() ?? '',
    /^there are too many things of bad, evil, or too large ones, .* follows 64 /,
  );
  assert.deepEqual(told, [list.problem()]);
  await watches[0]?.change('put', 'shop/d', '8');
  assert.deepEqual(list.items(), ['a0', 'a1', 'a2', 'b0', 'b1', 'b2', 'c', 'd']);
});

test('a namespace with more objects than its share is listed apart, and hides none of those after it', async t => {
  const { list, asked, pages, watches, run, pass } = openWorld(t, 256);
  pages.push({ ...page('7', 'a/gone', 'a/x', ...range('evil/e', 126)), next: 'x' });
  pages.push(page('8', 'a/x', 'shop/y'));
  run();
  await pass(0);
  assert.deepEqual(list.items(), ['x', 'y', ...range('e', 64)]);
  assert.deepEqual(asked, ['list 128', 'list 128 without evil', 'watch 8 450 without evil']);
  assert.equal(list.isPartial(), false);
  assert.match(list.problem() ?? '', /^there are too many things of evil, /);

  // The namespace is read from time to time, as far as its share goes.
  pages.push({ ...page('9', ...range('evil/f', 128)), next: 'x' });
  await pass(300_000);
  watches[0]?.end(true);
  await pass(1);
  assert.deepEqual(asked.slice(3), ['list namespaces/evil/things 128', 'watch 8 450 without evil']);
  assert.deepEqual(list.items(), ['x', 'y', ...range('f', 64)]);
  pages.push(page('10', 'evil/f0'));
  await pass(300_000);
  watches[1]?.end(true);
  await pass(1);
  assert.deepEqual(asked.slice(5), ['list namespaces/evil/things 128', 'watch 8 450']);
  assert.deepEqual([list.items(), list.problem()], [['x', 'y', 'f0'], undefined]);
});

test('a namespace with objects that are too large together is listed apart', async t => {
  const { list, asked, pages, run, pass } = openWorld(t, 256);
  const items = ['evil/a', 'evil/b', 'evil/c'].map(name => itemOf(name, 3 * mib));
  pages.push({ version: '7', items, next: 'x' }, page('8', 'shop/y'));
  run();
  await pass(0);
  assert.deepEqual(list.items(), ['y', 'a', 'b']);
  assert.deepEqual(asked, ['list 128', 'list 128 without evil', 'watch 8 450 without evil']);
});

test('a namespace that is listed apart keeps its objects when all others are listed again', async t => {
  const { list, asked, pages, watches, run, pass } = openWorld(t, 256);
  pages.push({ ...page('7', ...range('evil/e', 65)), next: 'x' }, page('8', 'shop/y'));
  run();
  await pass(0);
  pages.push(page('9', 'shop/z'));
  watches[0]?.end(false);
  await pass(1);
  assert.deepEqual(list.items(), ['z', ...range('e', 64)]);
  assert.deepEqual(asked.slice(3), ['list 128 without evil', 'watch 9 450 without evil']);
});

test('a namespace that changes its objects too often is left out of the watch for minutes', async t => {
  const { list, asked, pages, watches, run, pass } = openWorld(t, 256);
  pages.push(page('7', 'evil/a', 'shop/y'));
  run();
  await pass(0);
  for (let version = 8; version < 16; version++)
    assert.equal(await watches[0]?.change('put', 'evil/a', `${version}`, mib), true);
  assert.equal(await watches[0]?.change('put', 'shop/y', '16', 100), true);
  assert.equal(await watches[0]?.change('put', 'evil/a', '17', mib), false);
  await pass(1);
  assert.deepEqual(asked, ['list 128', 'watch 7 450', 'watch 17 450 without evil']);
  assert.deepEqual(list.items(), ['a', 'y']);
  assert.match(
    list.problem() ?? '',
    /^there are too many things of evil, or too large ones, or they change too often/,
  );
  await watches[1]?.change('put', 'shop/z', '18', 100);
  assert.deepEqual(list.items(), ['a', 'y', 'z']);
  pages.push(page('19', 'evil/b'));
  await pass(300_000);
  watches[1]?.end(true);
  await pass(1);
  assert.deepEqual(asked.slice(3), ['list namespaces/evil/things 128', 'watch 18 450']);
  assert.deepEqual([list.items(), list.problem()], [['y', 'z', 'b'], undefined]);
});

test('changes of many namespaces are read as slowly as those of one', async t => {
  const { pages, watches, run, pass } = openWorld(t, 256);
  pages.push(page('7'));
  run();
  await pass(0);
  for (let nth = 0; nth < 16; nth++) await watches[0]?.change('put', `evil${nth}/a`, `${8 + nth}`, mib);
  const reading = watches[0]?.change('put', 'other/a', '30', mib);
  await pass(1_990);
  assert.match(inspect(reading), /<pending>/);
  await pass(20);
  assert.equal(await reading, true);
});

test('a list without an end ends after 32 parts, and none counts as removed', async t => {
  const { list, asked, pages, run, pass } = openWorld(t);
  for (let part = 0; part < 33; part++) pages.push({ ...page('7', `many${part}/${part}`), next: 'x' });
  run();
  for (let i = 0; i < 10; i++) await pass(0);
  assert.equal(asked.indexOf('watch 7 450'), 32);
  assert.deepEqual([list.items()?.length, list.isPartial()], [10, true]);
});
