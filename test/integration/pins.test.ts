import assert from 'node:assert/strict';
import { test } from 'node:test';
import { publishRequest } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { openSetting } from '../support/node/setting.ts';

const { registry, node, daemon } = await openSetting();

/** Pushes a text under a tag and pulls it. */
async function bring(repository: string, text: string) {
  const { reference, digest } = await registry.push(repository, 'v1', [
    { name: 'f', bytes: Buffer.from(text) },
  ]);
  for await (const _ of daemon.streams.Pull({ reference, pull_policy: 'Always' })) continue;
  return { reference, digest };
}

const pinned = async (): Promise<readonly (string | undefined)[]> =>
  ((await daemon.artifacts.List({})).artifacts ?? []).filter(one => one.pinned).map(one => one.digest);

test('a pin is listed and can end after its tag has moved or was removed', async () => {
  for (const by of ['reference', 'digest', 'both'] as const) {
    const { reference, digest } = await bring('moved', `old by ${by}`);
    await daemon.artifacts.Pin({ reference });
    await bring('moved', `new by ${by}`);
    assert.deepEqual(await pinned(), [digest]);
    const removal = await outcomeOf(daemon.artifacts.Remove({ reference }));
    assert.equal(removal.code, 'PERMISSION_DENIED');
    assert.match(removal.text, /v1 is pinned; unpin it first$/);
    const repository = reference.slice(0, reference.lastIndexOf(':'));
    const unpin = { reference, digest, both: `${repository}@${digest}` }[by];
    await daemon.artifacts.Unpin({ reference: unpin });
    assert.deepEqual(await pinned(), []);
    assert.equal((await outcomeOf(daemon.artifacts.Unpin({ reference: unpin }))).code, 'NOT_FOUND');
    await daemon.artifacts.Remove({ reference });
    await daemon.artifacts.Prune({});
    assert.deepEqual((await daemon.artifacts.List({})).artifacts ?? [], []);
  }
});

test('of two names of one digest, the unpinned one can be removed, and the digest alone is ambiguous', async () => {
  const [one, other] = [await bring('one', 'same'), await bring('other', 'same')];
  await daemon.artifacts.Pin({ reference: one.reference });
  const both = await outcomeOf(daemon.artifacts.Remove({ reference: one.digest }));
  assert.equal(both.code, 'INVALID_ARGUMENT');
  assert.ok(both.text.includes(`${one.reference}, ${other.reference}`), both.text);
  await daemon.artifacts.Remove({ reference: other.reference });
  const left = await outcomeOf(daemon.artifacts.Remove({ reference: one.digest }));
  assert.match(left.text, /one:v1 is pinned; unpin it first$/);
  assert.deepEqual(await pinned(), [one.digest]);
  await daemon.artifacts.Unpin({ reference: one.reference });
  await daemon.artifacts.Remove({ reference: one.reference });
});

/** Rows of `ls`: reference, digest, whether it is pinned and how many volumes show it. */
async function rows(): Promise<readonly (readonly [string, string, boolean, number])[]> {
  return ((await daemon.artifacts.List({})).artifacts ?? []).map(
    ({ reference, digest, pinned: isPinned, volumes }) => [reference, digest, isPinned, volumes] as const,
  );
}

test('pins and volumes count for their own reference and digest, also after the tag has moved', async () => {
  const [one, other] = [await bring('count', 'same'), await bring('recount', 'same')];
  const request = await publishRequest(node, { reference: one.reference });
  await daemon.csi.NodePublishVolume(request);
  await daemon.artifacts.Pin({ reference: other.reference });
  assert.deepEqual(await rows(), [
    [one.reference, one.digest, false, 1],
    [other.reference, other.digest, true, 0],
  ]);
  const shown = await daemon.artifacts.Inspect({ reference: one.reference });
  assert.deepEqual([shown.pinned, shown.volumes], [false, [request.target_path]]);
  const moved = await bring('count', 'moved on');
  const afterwards = await rows();
  assert.equal(afterwards.length, 3);
  for (const row of [
    [one.reference, one.digest, false, 1],
    [one.reference, moved.digest, false, 0],
    [other.reference, other.digest, true, 0],
  ])
    assert.ok(
      afterwards.some(found => found.join() === row.join()),
      row.join(),
    );

  const removed = await outcomeOf(daemon.artifacts.Remove({ reference: one.reference }));
  assert.equal(removed.code, 'PERMISSION_DENIED');
  await daemon.csi.NodeUnpublishVolume({ volume_id: request.volume_id, target_path: request.target_path });
  await daemon.artifacts.Unpin({ reference: other.reference });
  await daemon.artifacts.Prune({});
  assert.deepEqual(await rows(), []);
});

test('rm reports what else uses the content that stays', async () => {
  const references: string[] = [];
  for (const repository of ['kept', 'named', 'pinned', 'mounted'])
    references.push((await bring(repository, 'shared')).reference);
  const [kept = '', named = '', held = '', mounted = ''] = references;
  await daemon.artifacts.Pin({ reference: held });
  const request = await publishRequest(node, { reference: mounted });
  await daemon.csi.NodePublishVolume(request);
  const { reference, kept_by: keepers, freed } = await daemon.artifacts.Remove({ reference: kept });
  assert.deepEqual(
    [reference, freed?.bytes, keepers],
    [kept, 0, [mounted, named, held, `the pin of ${held}`, `the volume at ${request.target_path}`]],
  );
  await daemon.csi.NodeUnpublishVolume({ volume_id: request.volume_id, target_path: request.target_path });
  await daemon.artifacts.Unpin({ reference: held });
  await daemon.artifacts.Remove({ reference: named });
  await daemon.artifacts.Remove({ reference: held });
  const last = await daemon.artifacts.Remove({ reference: mounted });
  assert.deepEqual(last.kept_by, []);
  assert.ok((last.freed?.bytes ?? 0) > 0);
});

test('unpin takes a reference, a digest for all of its pins, or a repository with a digest', async () => {
  const [one, other] = [await bring('pin-a', 'twice'), await bring('pin-b', 'twice')];
  const { digest } = one;
  const ofRepository = one.reference.replace(/:v1$/, `@${digest}`);
  for (const [unpin, left] of [
    [one.reference, [other.reference]],
    [ofRepository, [other.reference]],
    [digest, []],
    [digest.slice(0, 19), []],
  ] as const) {
    for (const { reference } of [one, other]) await daemon.artifacts.Pin({ reference });
    await daemon.artifacts.Unpin({ reference: unpin });
    const still = (await rows()).flatMap(([reference, , isPinned]) => (isPinned ? [reference] : []));
    assert.deepEqual(still, left, unpin);
  }
  const both = await outcomeOf(daemon.artifacts.Pin({ reference: digest }));
  assert.equal(both.code, 'INVALID_ARGUMENT', both.text);
  assert.match(both.text, /has 2 names here: .*; write the one that is meant/);
  await daemon.artifacts.Prune({});
});

test('a digest that was pulled by itself beside its tag has one name for pin and rm, and both go with it', async () => {
  const { reference, digest } = await bring('beside', 'also by its digest');
  const ofRepository = reference.replace(/:v1$/, `@${digest}`);
  for await (const _ of daemon.streams.Pull({ reference: ofRepository, pull_policy: 'Always' })) continue;
  const start = digest.slice(0, 19);
  await daemon.artifacts.Pin({ reference: start });
  const isListed = async () => (await rows()).map(([name, , isPinned]) => [name, isPinned]);
  assert.deepEqual(await isListed(), [
    [reference, true],
    [ofRepository, false],
  ]);
  const refused = await outcomeOf(daemon.artifacts.Remove({ reference: start }));
  assert.match(refused.text, /beside:v1 is pinned; unpin it first$/);
  await daemon.artifacts.Unpin({ reference: start });
  await daemon.artifacts.Pin({ reference: ofRepository });
  const held = await outcomeOf(daemon.artifacts.Remove({ reference: start }));
  assert.match(held.text, /beside@sha256:\w+ is pinned; unpin it first$/);
  await daemon.artifacts.Unpin({ reference: start });
  const removed = await daemon.artifacts.Remove({ reference: start });
  assert.deepEqual([removed.reference, removed.kept_by], [reference, []]);
  assert.ok((removed.freed?.bytes ?? 0) > 0);
  assert.deepEqual(await isListed(), []);
});
