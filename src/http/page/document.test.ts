import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digest, nodeStatus, noon, summaries, volume } from '../../../test/support/node/samples.ts';
import { formatDocument } from './document.ts';
import type { PageState } from './page-state.ts';

const ago = (hours: number): number => noon - hours * 3600_000;

/** The page of a node at noon. */
function showPage(parts: Partial<PageState>): string {
  const state = { now: noon, nodeId: 'node-1', status: nodeStatus, pulls: [], volumes: [], artifacts: [] };
  return formatDocument({ ...state, ...parts }, { search: '', pages: { volumes: 1, artifacts: 1 } });
}

/** The cells of the rows of a section, as text, by their headings. The first cell has none. */
function rowsOf(page: string, section: string): readonly Readonly<Record<string, string>>[] {
  const [, text = ''] = new RegExp(`<section id="${section}"([^]*?)</section>`).exec(page) ?? [];
  const [, body = ''] = /<tbody>([^]*)<\/tbody>/.exec(text) ?? [];
  const toText = (cell: string): string => {
    const words = cell.replaceAll('<wbr>', '').replaceAll(/<[^>]*>/g, ' ');
    return words.replaceAll(/\s+/g, ' ').trim();
  };
  const cells = /<t[hd](?: [^>]*?(?:data-heading="([^"]*)"|scope="row")[^>]*)>(.*?)<\/t[hd]>/g;
  return [...body.matchAll(/<tr>([^]*?)<\/tr>/g)].map(([, row = '']) =>
    Object.fromEntries(
      [...row.matchAll(cells)].map(([, heading = '', cell = '']) => [heading, toText(cell)]),
    ),
  );
}

test('the cache says what holds each artifact, and when it was used and verified', () => {
  const [held, unused] = summaries;
  assert.ok(held !== undefined && unused !== undefined);
  const artifacts = [
    { ...held, usedAt: ago(3), verifiedAt: ago(50) },
    { ...unused, usedAt: ago(100), verifiedAt: 0 },
    { ...unused, reference: 'registry.example/b:1', usedAt: 0, volumes: 1, digest },
  ];
  const rows = rowsOf(showPage({ artifacts, volumes: [volume] }), 'artifacts');
  assert.deepEqual(
    rows.map(row => [row[''], row['Last used'], row['Held by'], row['Verified']]),
    [
      ['registry.example/z:1', '3h ago', 'pinned 2 volumes ml/web-0 and more', '2d ago'],
      ['registry.example/a:1', '4d ago', 'nothing', 'not since a crash'],
      ['registry.example/b:1', 'unknown', '1 volume', 'not since a crash'],
    ],
  );
});

test('the page says how far each prefetch is, and why one failed', () => {
  const prefetch = [
    ...nodeStatus.prefetch.map(entry => ({ ...entry, nextAt: noon + 3 * 3600_000 })),
    { reference: 'new:v1', state: 'waiting' } as const,
  ];
  const rows = rowsOf(showPage({ status: { ...nodeStatus, prefetch } }), 'prefetch');
  assert.deepEqual(
    rows.map(row => [row[''], row['State'], row['Digest'], row['Next']]),
    [
      ['tiny:v1', 'ready', digest.slice(0, 19), 'in 3h'],
      ['big:v1', 'failed big:v1: registry.example cannot be reached', '–', 'in 3h'],
      ['other:v1', 'elsewhere', '–', 'in 3h'],
      ['new:v1', 'waiting', '–', '–'],
    ],
  );
  assert.doesNotMatch(showPage({ status: { ...nodeStatus, prefetch: [] } }), /id="prefetch"/);
});

test('the page says which volumes fail, how often and why, and counts the rest of many', () => {
  const page = showPage({});
  assert.deepEqual(
    rowsOf(page, 'failing').map(row => [
      row[''],
      row['Artifact'],
      row['Failed last'],
      row['Times'],
      row['Why'],
    ]),
    [
      [
        'shop/ web-0',
        'registry.example/gone:2',
        '40s ago',
        '12',
        'not-found registry.example/gone:2 does not exist',
      ],
      ['/pods/w/mount', '–', '2s ago', '1', 'invalid the volume attribute reference is missing'],
    ],
  );
  const [one = assert.fail()] = nodeStatus.failing;
  const many = Array.from({ length: 53 }, () => one);
  const crowded = showPage({ status: { ...nodeStatus, failing: many } });
  assert.equal(rowsOf(crowded, 'failing').length, 50);
  assert.match(crowded, /3 more fail\./);
  assert.doesNotMatch(showPage({ status: { ...nodeStatus, failing: [] } }), /id="failing"/);
});
