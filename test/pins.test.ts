import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outcomeOf } from './support/outcome.ts';
import { openSetting } from './support/setting.ts';

const { registry, daemon } = await openSetting();

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

test('what is pinned is listed and can be unpinned when its tag has moved on, or is forgotten', async () => {
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

test('of two names of one digest, the one that is not pinned is removed, and the digest alone names neither', async () => {
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
