import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs } from '../support/project/tools.ts';
import { oras } from '../support/registry/oras.ts';
import { startReferrersRegistry } from '../support/registry/referrers-registry.ts';
import { cosignSignStock, cosignVerify, makeCosignKey } from '../support/signing/cosign.ts';
import {
  identity,
  oidcIssuer,
  openSigstore,
  type TestSigstore,
  trustedRootOf,
} from '../support/signing/sigstore.ts';
import { type SigstoreServer, startSigstore, tokenOf } from '../support/signing/sigstore-server.ts';

const sigstore = openSigstore();
const stranger = openSigstore();
const otherAuthority: TestSigstore = {
  ...sigstore,
  certificateAuthorities: stranger.certificateAuthorities,
};
const otherTimestamps: TestSigstore = { ...sigstore, timestamps: stranger.timestamps };

/** The required signer: for the policy, and for cosign. */
type Wanted = { readonly policy: object; readonly cosign: readonly string[] };

/** How something is signed, and what is wanted of it. */
type Case = {
  readonly what: string;
  readonly who: Parameters<typeof cosignSignStock>[1];
  readonly logs?: readonly (1 | 2)[];
  readonly timestamps?: boolean;
  readonly services?: TestSigstore;
  readonly wants: Wanted;
  readonly leaveOut?: Parameters<typeof trustedRootOf>[1];
};

const tokenFor = (sub: string, iss = oidcIssuer) => ({ token: tokenOf({ iss, sub }) });
const jane = tokenFor(identity);
const signer = { key: 'signer' };

const from = ['--certificate-oidc-issuer', oidcIssuer];
const byJane: Wanted = {
  policy: { fulcio: { oidcIssuer, subjectEmail: identity } },
  cosign: ['--certificate-identity', identity, ...from],
};
const bySomebody: Wanted = {
  policy: { fulcio: { oidcIssuer, subjectRegExp: '[a-z]+@example\\.com' } },
  cosign: ['--certificate-identity-regexp', '^[a-z]+@example\\.com$', ...from],
};
const bySigner: Wanted = { policy: { keyPath: 'signer.pub' }, cosign: ['--key', 'signer.pub'] };
const untimed = ['--insecure-ignore-tlog', '--use-signed-timestamps'];

const accepted: readonly Case[] = [
  { what: 'without a key, into Rekor 2 and with a timestamp', who: jane, wants: byJane },
  { what: 'without a key, into Rekor 1', who: jane, logs: [1], timestamps: false, wants: byJane },
  { what: 'without a key, into Rekor 1 and with a timestamp', who: jane, logs: [1], wants: byJane },
  {
    what: 'without a key, with a timestamp alone',
    who: jane,
    logs: [],
    wants: { ...byJane, cosign: [...byJane.cosign, ...untimed] },
    leaveOut: ['tlogs'],
  },
  { what: 'without a key, by one whom an expression describes', who: jane, wants: bySomebody },
  { what: 'by a key, into Rekor 2', who: signer, timestamps: false, wants: bySigner },
  { what: 'by a key, into Rekor 1', who: signer, logs: [1], timestamps: false, wants: bySigner },
  { what: 'by a key, into Rekor 2 and with a timestamp', who: signer, wants: bySigner },
];

const refused: readonly (Case & { readonly why: RegExp })[] = [
  {
    what: 'by somebody else',
    who: tokenFor('eve@example.com'),
    wants: byJane,
    why: /wants jane@example\.com/,
  },
  {
    what: 'by one whom the expression does not describe',
    who: tokenFor('eve@example.com.evil.org'),
    wants: bySomebody,
    why: /subjectRegExp wants/,
  },
  {
    what: 'by the same name of another issuer',
    who: tokenFor(identity, 'https://evil.example.com'),
    wants: byJane,
    why: /oidcIssuer wants/,
  },
  {
    what: 'with the services of a stranger',
    who: jane,
    services: stranger,
    wants: byJane,
    why: /one of the logs that are trusted/,
  },
  {
    what: 'with the CA of a stranger',
    who: jane,
    services: otherAuthority,
    wants: byJane,
    why: /no CA of default\[0\]\.trustedRootPath/,
  },
  {
    what: 'with the timestamps of a stranger',
    who: jane,
    services: otherTimestamps,
    wants: byJane,
    why: /by another authority/,
  },
  {
    what: 'into no log, where one must have it',
    who: jane,
    logs: [],
    wants: byJane,
    why: /no proof that a log recorded it/,
  },
  { what: 'by another key', who: { key: 'stranger' }, wants: bySigner, why: /by another key than those/ },
  {
    what: 'by a key, where a certificate is wanted',
    who: signer,
    wants: byJane,
    why: /it has no certificate/,
  },
  {
    what: 'without a key, where one is wanted',
    who: jane,
    wants: bySigner,
    why: /no key that is trusted verifies it/,
  },
];

describe('an artifact signed by stock cosign:', needs('cosign', 'oras'), () => {
  const stack = new AsyncDisposableStack();
  after(() => stack.disposeAsync());
  let host: string;
  let work: string;
  let node: TestNode;
  let daemon: TestDaemon;
  const servers = new Map<TestSigstore, SigstoreServer>();
  let pushed = 0;

  before(async () => {
    work = stack.use(await temporaryDirectory()).path;
    host = stack.use(await startReferrersRegistry()).host;
    for (const services of [sigstore, stranger, otherAuthority, otherTimestamps]) {
      servers.set(services, stack.use(await startSigstore(services)));
    }
    await Promise.all([makeCosignKey('signer', work), makeCosignKey('stranger', work)]);
    await writeFile(join(work, 'policy.json'), JSON.stringify({ default: [{ type: 'reject' }] }));
    node = stack.use(await testNode([host]));
    daemon = stack.use(await startDaemon(node, { flags: { '--policy': join(work, 'policy.json') } }));
  });

  /** Signs a new artifact. */
  async function sign(one: Case): Promise<{ readonly repository: string; readonly digest: string }> {
    pushed += 1;
    const repository = `${host}/models/m${pushed}`;
    await writeFile(join(work, 'model'), `model ${pushed}`);
    const push = ['push', '--plain-http', '--format', 'json', `${repository}:1`, 'model'];
    const { digest } = JSON.parse(await oras(push, work)) as { digest: string };
    const services = one.services ?? sigstore;
    const paths = {
      signingConfig: join(work, 'signing-config.json'),
      trustedRoot: join(work, 'signing-root.json'),
    };
    const config = servers.get(services)?.signingConfig(one.logs ?? [2], one.timestamps ?? true);
    await writeFile(paths.signingConfig, config ?? '');
    await writeFile(paths.trustedRoot, trustedRootOf(services));
    await cosignSignStock(`${repository}@${digest}`, one.who, paths, work);
    return { repository, digest };
  }

  /** What the driver says when it is to mount it, and cosign: undefined if it verifies. */
  async function verdictsOf(
    one: Case,
  ): Promise<{ readonly ours: string; readonly cosign: string | undefined }> {
    const { repository, digest } = await sign(one);
    const trustedRootPath = join(work, 'root.json');
    await writeFile(trustedRootPath, trustedRootOf(sigstore, one.leaveOut));
    const { keyPath, ...policy } = one.wants.policy as { readonly keyPath?: string };
    const requirement = {
      type: 'sigstoreSigned',
      trustedRootPath,
      signedIdentity: { type: 'matchDigest' },
      ...policy,
      ...(keyPath === undefined ? {} : { keyPath: join(work, keyPath) }),
    };
    await writeFile(join(work, 'policy.json'), JSON.stringify({ default: [requirement] }));
    const request = await publishRequest(node, { reference: `${repository}:1` });
    const { code, text } = await outcomeOf(daemon.csi.NodePublishVolume(request));
    if (code === 'OK') assert.match(readFileSync(join(request.target_path, 'model'), 'utf8'), /^model \d+$/);
    else assert.equal(code, 'PERMISSION_DENIED', text);
    const args = ['--trusted-root', trustedRootPath, ...one.wants.cosign];
    return {
      ours: code === 'OK' ? 'accepted' : text,
      cosign: await cosignVerify(`${repository}@${digest}`, args, work),
    };
  }

  for (const one of accepted) {
    test(`${one.what} is mounted, and cosign verifies it`, async () => {
      assert.deepEqual(await verdictsOf(one), { ours: 'accepted', cosign: undefined });
    });
  }
  for (const { why, ...one } of refused) {
    test(`${one.what} is refused, as by cosign`, async () => {
      const { ours, cosign } = await verdictsOf(one);
      assert.match(ours, why);
      assert.notEqual(cosign, undefined);
    });
  }
});
