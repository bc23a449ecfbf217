import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { waitUntil } from '../support/node/child.ts';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { verifyGone, verifyVolume } from '../support/node/volume.ts';
import type { Fault } from '../support/registry/fault.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { answer, ofBlob, ofManifest, once, openTestbed, type Testbed } from '../support/registry/testbed.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

let bed: Testbed;

before(async () => {
  bed = await openTestbed();
});
after(async () => {
  await bed?.[Symbol.asyncDispose]();
});

describe('a registry that asks for a wait', () => {
  for (const [name, rule] of [
    ['manifest', ofManifest(answer(429, '2'))],
    ['blob', ofBlob(answer(429, '2'))],
  ] as const) {
    test(`of 2 s for a ${name} is obeyed`, async () => {
      const { code, ms } = await bed.publishUnder(asked => (asked.nth === 1 ? rule(asked) : undefined), 1000);
      assert.equal(code, 'OK');
      assert.ok(ms >= 2000, `${ms} ms`);
    });
  }
});

describe('a registry that keeps failing', { concurrency: true }, () => {
  const ills: readonly (readonly [string, Fault, RegExp])[] = [
    ['answers 429', answer(429), /answered 429/],
    ['answers 500', answer(500), /answered 500/],
    ['answers 503', answer(503), /answered 503/],
    ['answers no HTTP', { kind: 'raw', text: 'hello\r\n\r\n' }, /cannot be reached|mid-answer/],
    ['cuts every connection', { kind: 'cut', after: 0 }, /mid-answer/],
  ];
  for (const [name, fault, says] of ills) {
    // The first call for a volume is answered after 20 s. The next one joins a download, and asks for a manifest anew.
    for (const [of, rule, earlierMs] of [
      ['manifests', ofManifest(fault), 20_000],
      ['blobs', ofBlob(fault), 0],
    ] as const) {
      test(`and ${name} for ${of} is UNAVAILABLE after 30 s of attempts`, async () => {
        const { code, text, ms } = await bed.publishUnder(rule, 300 * KiB);
        assert.equal(code, 'UNAVAILABLE', text);
        assert.match(text, says);
        assert.match(text, /gave up after \d+ tries/);
        assert.ok(ms > 25_000 + earlierMs && ms < 40_000 + earlierMs, `${ms} ms`);
      });
    }
  }

  test('and stalls: the call ends ABORTED near its deadline, and the next one joins', async () => {
    const { reference, repository, shown, asks } = await bed.push(5 * MiB);
    bed.rules.set(repository, ofBlob(once({ kind: 'stall', after: 2 * MiB })));
    const request = await publishRequest(bed.node, { reference });
    const first = await outcomeOf(bed.daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 4000 }));
    assert.equal(first.code, 'ABORTED', first.text);
    // What a buffer that is not full holds is counted with the next bytes, or when the server is given up.
    assert.match(first.text, /pulled (1\.[5-9]|2\.0) MiB of 5\.0 MiB, 0 of 1 layers/);
    assert.ok(first.ms > 2500 && first.ms < 3900, `${first.ms} ms`);
    verifyGone(request.target_path);
    await bed.daemon.csi.NodePublishVolume(request);
    verifyVolume(request.target_path, shown);
    assert.deepEqual(
      asks().map(({ headers }) => headers.range),
      [undefined, `bytes=${2 * MiB}-`],
    );
  });
});

describe('a registry that', { concurrency: true }, () => {
  for (const [does, fault] of [
    ['stalls', { kind: 'stall', after: 1000 }],
    ['answers 503', answer(503)],
  ] as const) {
    test(`${does} does not delay pulls from others, however many requests it has`, async () => {
      await using sick = await openFaultyRegistry();
      await using well = await openFaultyRegistry();
      await using node = await testNode([sick.host, well.host]);
      await using daemon = await startDaemon(node);
      sick.fault(ofBlob(fault));
      const layers = Array.from({ length: 70 }, (_, nth) => ({ name: `f${nth}`, bytes: randomBytes(2000) }));
      const ill = await sick.push('ill', 'v1', layers);
      const fine = await well.push('fine', 'v1', [{ name: 'f', bytes: randomBytes(2000) }]);
      const waiting = await publishRequest(node, { reference: ill.reference });
      const vain = outcomeOf(daemon.csi.NodePublishVolume(waiting, { deadline: Date.now() + 6000 }));
      await waitUntil(daemon, () => sick.asked.length > 6, 'asking');
      const request = await publishRequest(node, { reference: fine.reference });
      const { code, ms } = await outcomeOf(daemon.csi.NodePublishVolume(request));
      assert.equal(code, 'OK');
      assert.ok(ms < 2000, `${ms} ms`);
      assert.equal((await vain).code, 'ABORTED');
    });
  }
});
