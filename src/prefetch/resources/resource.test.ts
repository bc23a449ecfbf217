import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAttributes } from '../../volume/attributes.ts';
import { type PrefetchKind, type PrefetchSpec, parseResource } from './resource.ts';

const artifacts = [{ reference: 'r.example/a:1' }];

function parse(spec: unknown, kind: PrefetchKind = 'ClusterArtifactPrefetch'): PrefetchSpec {
  const metadata = {
    name: 'one',
    uid: 'u',
    generation: 3,
    ...(kind === 'ArtifactPrefetch' && { namespace: 'shop' }),
  };
  return parseResource(kind, { metadata, spec }, parseAttributes).spec;
}

test('a prefetch without more than artifacts keeps them on all nodes', () => {
  const selection = { unpack: 'auto', include: [], exclude: [] };
  assert.deepEqual(
    parse({ artifacts: [...artifacts, { reference: `r.example/b@sha256:${'a'.repeat(64)}` }] }),
    {
      kind: 'right',
      entries: [
        { artifact: { reference: 'r.example/a:1', selection }, keep: true, intervalMs: 3_600_000 },
        {
          artifact: { reference: `r.example/b@sha256:${'a'.repeat(64)}`, selection },
          keep: true,
          intervalMs: undefined,
        },
      ],
      nodeSelector: [],
      maxParallelNodes: undefined,
      priority: 0,
      pullSecrets: [],
      deadlineAt: undefined,
    },
  );
});

test('a namespace names its own secrets only', () => {
  const pullSecrets = [{ name: 'pull', namespace: 'kube-system' }];
  const namesOf = (spec: PrefetchSpec) => (spec.kind === 'right' ? spec.pullSecrets : spec);
  assert.deepEqual(namesOf(parse({ artifacts, pullSecrets }, 'ArtifactPrefetch')), [
    { namespace: 'shop', name: 'pull' },
  ]);
  assert.deepEqual(namesOf(parse({ artifacts, pullSecrets })), [{ namespace: 'kube-system', name: 'pull' }]);
});

const limits: readonly (readonly [unknown, unknown])[] = [
  [3, { kind: 'nodes', count: 3 }],
  ['10%', { kind: 'percent', count: 10 }],
  ['100%', { kind: 'percent', count: 100 }],
];
for (const [maxParallelNodes, expected] of limits)
  test(`maxParallelNodes can be ${JSON.stringify(maxParallelNodes)}`, () => {
    const spec = parse({ artifacts, maxParallelNodes });
    assert.deepEqual(spec.kind === 'right' && spec.maxParallelNodes, expected);
  });

const longInclude = Array(2_000).fill('a').join();
const longValues = Array(200).fill('v'.repeat(60));
const longKey = 'k'.repeat(1_000_000);
const broken: readonly (readonly [spec: unknown, why: RegExp])[] = [
  [undefined, /has no spec/],
  [{}, /has no artifacts/],
  [{ artifacts: [] }, /artifacts must have one entry at least/],
  [{ artifacts: [{ reference: 'r.example/A:1' }] }, /artifacts\[0\] is refused: /],
  [{ artifacts: [{ ...artifacts[0], pullPolicy: 'Always' }] }, /pullPolicy is an unknown field/],
  [{ artifacts, interval: '1s' }, /interval: invalid value "1s": must be 1m at least/],
  [{ artifacts, maxParallelNodes: '0%' }, /maxParallelNodes: invalid value "0%": must be a number of nodes/],
  [{ artifacts, nodeSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } }, /has no values/],
  [{ artifacts, deadline: 'soon' }, /deadline: invalid value "soon": must be a time/],
  [
    { artifacts: [1, 2, 3].map(() => ({ ...artifacts[0], include: longInclude })) },
    /has artifacts of more than 8192 characters; make several objects/,
  ],
  [
    { artifacts, nodeSelector: { matchExpressions: [{ key: 'a', operator: 'In', values: longValues }] } },
    /has a nodeSelector of more than 8192 characters; select nodes by fewer labels/,
  ],
  [{ artifacts, pullSecrets: [{ name: 'a' }] }, /pullSecrets\[0\] has no namespace/],
];
for (const [spec, why] of broken)
  test(`a prefetch that no node can follow says why: ${why.source}`, () => {
    const parsed = parse(spec);
    assert.match(parsed.kind === 'broken' ? parsed.why : 'right', why);
  });

test('why a prefetch cannot be followed has a bounded length', () => {
  const parsed = parse({ artifacts: [{ ...artifacts[0], [longKey]: 1 }] });
  assert.equal(parsed.kind === 'broken' && parsed.why.length, 512);
});
