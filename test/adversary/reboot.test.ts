import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { publishRequest, startDaemon, type TestDaemon, testNode } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { mountsBelow, unmountBelow } from '../support/os/mounts.ts';
import { ownForEach } from '../support/os/owned.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { basic } from '../support/registry/guarded-registry.ts';

/** After a reboot a pod gets what its record says, and not what it may not have any more, nor what it never had. */

const own = ownForEach();

const alice = { username: 'alice', password: 'pass:wörd' };
const secret = 'codename-osprey';
type Request = Awaited<ReturnType<typeof publishRequest>>;

/** Ends the daemon and every mount, lets `meanwhile` happen to the state directory, and starts again. */
async function reboot(
  daemon: TestDaemon,
  meanwhile: (stateDir: string) => void,
  flags: Record<string, string> = {},
): Promise<TestDaemon> {
  await daemon[Symbol.asyncDispose]();
  unmountBelow(daemon.node.kubeletDir);
  meanwhile(daemon.node.stateDir);
  return own(await startDaemon(daemon.node, { flags }));
}

async function publish(daemon: TestDaemon, request: Request) {
  return outcomeOf(daemon.csi.NodePublishVolume(request));
}

async function open(guarded: boolean): Promise<{ daemon: TestDaemon; registry: FaultyRegistry }> {
  const registry = own(await openFaultyRegistry(guarded ? { guard: basic } : {}));
  return { registry, daemon: own(await startDaemon(own(await testNode([registry.host])))) };
}

type Fields = Record<string, unknown>;
/** The one record of a target path, and where it is. */
function findRecord(
  stateDir: string,
  { target_path }: Request,
): { readonly path: string; readonly record: Fields } {
  const directory = join(stateDir, 'volumes');
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const record: Fields = JSON.parse(readFileSync(path, 'utf8'));
    if (record['targetPath'] === target_path) return { path, record };
  }
  throw new Error(`no record of ${target_path}`);
}

function recordOf(stateDir: string, request: Request): Fields {
  return findRecord(stateDir, request).record;
}

function forge(stateDir: string, request: Request, change: (record: Fields) => Fields): void {
  const { path, record } = findRecord(stateDir, request);
  writeFileSync(path, JSON.stringify(change(record)));
}

/** Publishes for a new pod for each change of a record. */
async function publishForEach<Change>(daemon: TestDaemon, reference: string, changes: readonly Change[]) {
  return Promise.all(
    changes.map(async change => {
      const request = await publishRequest(daemon.node, { reference });
      assert.equal((await publish(daemon, request)).code, 'OK');
      return { change, request };
    }),
  );
}

function assertRefused(
  { code, text }: Awaited<ReturnType<typeof publish>>,
  { target_path }: Request,
  why: RegExp,
): void {
  assert.match(`${code}: ${text}`, why);
  assert.doesNotMatch(text, /osprey/);
  assert.deepEqual(mountsBelow(target_path), []);
}

test('a record that was changed to name private content gives no access to it', async () => {
  const [registry, free] = [own(await openFaultyRegistry({ guard: basic })), own(await openFaultyRegistry())];
  const daemon = own(await startDaemon(own(await testNode([registry.host, free.host]))));
  const hidden = await registry.push('team/model', 'v1', [{ name: secret, bytes: Buffer.from(secret) }]);
  const mine = await free.push('mine/model', 'v1', [{ name: 'mine', bytes: Buffer.from('mine') }]);
  const hers = await publishRequest(daemon.node, { reference: hidden.reference }, alice);
  assert.equal((await publish(daemon, hers)).code, 'OK');
  const view = (stateDir: string): unknown => recordOf(stateDir, hers)['view'];
  // Each changes the record of a pod of its own.
  const changes: readonly ((stateDir: string) => Fields)[] = [
    () => ({ digest: hidden.digest }),
    () => ({ digest: hidden.digest, manifest: hidden.digest }),
    () => ({ resolved: hidden.reference, digest: hidden.digest, manifest: hidden.digest }),
    stateDir => ({ resolved: hidden.reference, digest: hidden.digest, view: view(stateDir) }),
  ];
  const pods = await publishForEach(daemon, mine.reference, changes);
  const before = pods.map(({ request }) => recordOf(daemon.node.stateDir, request));
  const changed = await reboot(daemon, stateDir => {
    for (const { request, change } of pods)
      forge(stateDir, request, record => ({ ...record, ...change(stateDir) }));
  });
  for (const { request } of pods)
    assertRefused(
      await publish(changed, request),
      request,
      /^(?:UNAUTHENTICATED|PERMISSION_DENIED|NOT_FOUND)/,
    );
  // Only the view changed: the mount is made of what digest and options say.
  const again = await reboot(changed, stateDir => {
    for (const [nth, { request }] of pods.entries())
      forge(stateDir, request, () => ({ ...before[nth], view: view(stateDir) }));
  });
  for (const { request } of pods) {
    assert.equal((await publish(again, request)).code, 'OK');
    assert.deepEqual(readdirSync(request.target_path), ['mine']);
  }
});

test('a torn record and a record of another target are ignored', async () => {
  const { daemon, registry } = await open(false);
  const { reference } = await registry.push('mine/model', 'v1', [
    { name: 'mine', bytes: Buffer.from('mine') },
  ]);
  const pods = await publishForEach(daemon, reference, [
    { digest: 'sha256:../../../etc' },
    { targetPath: '/etc', resolved: 'gone.invalid/a/b:v1' },
    { resolved: 7 },
    { pod: { uid: 7 } },
  ]);
  const again = await reboot(daemon, stateDir => {
    for (const { request, change } of pods) forge(stateDir, request, record => ({ ...record, ...change }));
  });
  for (const { request } of pods) {
    assert.equal((await publish(again, request)).code, 'OK');
    assert.deepEqual(readdirSync(request.target_path), ['mine']);
  }
});

test('a record gives nothing to a pod that is neither remembered nor admitted by the registry', async () => {
  const { daemon, registry } = await open(true);
  const { reference } = await registry.push('team/model', 'v1', [{ name: 'f', bytes: Buffer.from(secret) }]);
  const request = await publishRequest(daemon.node, { reference }, alice);
  assert.equal((await publish(daemon, request)).code, 'OK');
  const forget = (stateDir: string): void => {
    for (const name of readdirSync(join(stateDir, 'access'))) {
      const path = join(stateDir, 'access', name);
      writeFileSync(
        path,
        JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), pods: [], secrets: [] }),
      );
    }
  };
  const again = await reboot(daemon, forget);
  const { secrets: _, ...bare } = request;
  assertRefused(await publish(again, { ...bare, secrets: {} }), request, /^UNAUTHENTICATED/);
  registry.fault(() => ({ kind: 'status', status: 403 }));
  assertRefused(await publish(again, request), request, /^PERMISSION_DENIED/);
  registry.fault(() => undefined);
  assert.equal((await publish(again, request)).code, 'OK');
});

test('an artifact that the policy refuses now is not mounted again', async () => {
  const { daemon, registry } = await open(false);
  const { reference } = await registry.push('team/model', 'v1', [{ name: 'f', bytes: Buffer.from(secret) }]);
  const request = await publishRequest(daemon.node, { reference });
  assert.equal((await publish(daemon, request)).code, 'OK');
  const signatures = join(daemon.node.path, 'policy.json');
  const access = join(daemon.node.path, 'access.yaml');
  writeFileSync(signatures, JSON.stringify({ default: [{ type: 'reject' }] }));
  writeFileSync(access, 'default: deny\n');
  let again = daemon;
  for (const flags of [{ '--policy': signatures }, { '--access-policy': access }] as const) {
    again = await reboot(again, () => {}, flags);
    assertRefused(await publish(again, request), request, /^PERMISSION_DENIED/);
  }
  again = await reboot(again, () => {});
  assert.equal((await publish(again, request)).code, 'OK');
});
