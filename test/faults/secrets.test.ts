import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { tokensKey } from '../../src/oci/credential.ts';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { shownOf, verifyGone, verifyVolume } from '../support/node/volume.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import type { Guard } from '../support/registry/guard.ts';

const username = 'robot$ci';
const password = `right"${randomUUID()}`;
const wrong = `wrong-${randomUUID()}`;
const token = `service-account-${randomUUID()}`;
const refreshToken = `refresh-${randomUUID()}`;

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** What kubelet brings from an image pull secret. */
function pullSecret(host: string, secret: string): Record<string, string> {
  const auths = { [host]: { username, password: secret, auth: base64(`${username}:${secret}`) } };
  return { '.dockerconfigjson': JSON.stringify({ auths }) };
}

/** Every spelling in which a secret could be written down. */
function spellings(secrets: readonly string[]): readonly string[] {
  return secrets.flatMap(secret => [
    secret,
    base64(secret),
    base64(`${username}:${secret}`),
    encodeURIComponent(secret),
    JSON.stringify(secret).slice(1, -1),
    Buffer.from(secret).toString('hex'),
  ]);
}

function filesBelow(directory: string): readonly string[] {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  return entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name));
}

const guards: Readonly<Record<string, Guard>> = {
  Basic: { kind: 'basic', username, password },
  Bearer: { kind: 'bearer', username, password, refreshToken },
};

for (const [scheme, guard] of Object.entries(guards)) {
  describe(`a private registry with ${scheme}`, () => {
    test('serves only the right credential, and no secret is written anywhere', async () => {
      await using registry = await openFaultyRegistry({ guard });
      await using node = await testNode([registry.host]);
      await using daemon = await startDaemon(node, { flags: { '--log-level': 'debug' } });
      const { reference } = await registry.push('private', 'v1', [{ name: 'f', bytes: Buffer.from('x') }]);
      await registry.push('other', 'v1', [{ name: 'f', bytes: Buffer.from('y') }]);
      const tokens = JSON.stringify({ '': { token, expirationTimestamp: '2030-01-01T00:00:00Z' } });
      const { host } = registry;

      const rows: readonly (readonly [
        what: string,
        secrets: Record<string, string>,
        code: string,
        says: RegExp,
      ])[] = [
        ['none', {}, 'UNAUTHENTICATED', /as anonymous/],
        ['one for another host', pullSecret('registry.example', password), 'UNAUTHENTICATED', /no entry for/],
        [
          'a wrong one',
          pullSecret(host, wrong),
          'UNAUTHENTICATED',
          /\.dockerconfigjson of nodePublishSecretRef/,
        ],
        [
          'a wrong user',
          { username: 'nobody', password },
          'UNAUTHENTICATED',
          /username and password of nodePublishSecretRef/,
        ],
        ['half of one', { password }, 'INVALID_ARGUMENT', /only one of username and password/],
        [
          'a malformed one',
          { '.dockerconfigjson': `{"auths": ${password}` },
          'INVALID_ARGUMENT',
          /dockerconfigjson/,
        ],
        [
          'a malformed auth',
          { '.dockerconfigjson': JSON.stringify({ auths: { [host]: { auth: base64(password) } } }) },
          'INVALID_ARGUMENT',
          /auth/,
        ],
        ['the right one', pullSecret(host, password), 'OK', /^$/],
        ['the right one, in keys', { username, password }, 'OK', /^$/],
      ];
      const texts: string[] = [];
      for (const [what, secrets, code, says] of rows) {
        for (const at of ['context', 'secrets'] as const) {
          const request = await publishRequest(
            node,
            { reference, pullPolicy: 'Always', ...(at === 'context' ? { [tokensKey]: tokens } : {}) },
            { ...secrets, ...(at === 'secrets' ? { [tokensKey]: tokens } : {}) },
          );
          const outcome = await outcomeOf(daemon.csi.NodePublishVolume(request));
          texts.push(outcome.text);
          assert.equal(outcome.code, code, `${what}: ${outcome.text}`);
          assert.match(outcome.text, says, what);
          if (code === 'OK') verifyVolume(request.target_path, shownOf([['f', 'x']]));
          else verifyGone(request.target_path);
        }
      }
      registry.fault(() => ({ kind: 'status', status: 403, message: `no ${password} here` }));
      const request = await publishRequest(
        node,
        { reference: `${host}/other:v1` },
        pullSecret(host, password),
      );
      const denied = await outcomeOf(daemon.csi.NodePublishVolume(request));
      assert.equal(denied.code, 'PERMISSION_DENIED', denied.text);
      texts.push(denied.text);
      const { failing } = await daemon.artifacts.GetStatus({});
      assert.equal(failing.length, 2 * rows.filter(([, , code]) => code !== 'OK').length + 1);
      texts.push(...failing.map(({ message }) => message), JSON.stringify(failing));
      texts.push(await (await fetch(`${daemon.http}/metrics`)).text());
      texts.push(JSON.stringify(await daemon.artifacts.ListVolumes({})));
      await daemon.end('SIGTERM');

      const bearers = registry.asked
        .map(({ headers }) => /^Bearer (\S+)/.exec(headers.authorization ?? '')?.[1])
        .filter(text => text !== undefined);
      if (scheme === 'Bearer') assert.ok(bearers.length > 0);
      const written = [
        daemon.output(),
        ...texts,
        ...filesBelow(node.stateDir).map(path => readFileSync(path, 'latin1')),
      ];
      assert.ok(daemon.output().includes('"method":"/csi.v1.Node/NodePublishVolume"'), 'calls are logged');
      for (const secret of spellings([password, wrong, token, refreshToken, ...bearers])) {
        for (const text of written) assert.ok(!text.includes(secret), `${secret} in ${text.slice(0, 4000)}`);
      }
    });
  });
}

test('an identity token is sent to the token server only', async () => {
  await using registry = await openFaultyRegistry({
    guard: { kind: 'bearer', username, password, refreshToken },
  });
  await using node = await testNode([registry.host]);
  await using daemon = await startDaemon(node, { flags: { '--log-level': 'debug' } });
  const { reference } = await registry.push('private', 'v1', [{ name: 'f', bytes: Buffer.from('x') }]);
  const auths = { [registry.host]: { username: '<token>', identitytoken: refreshToken } };
  const request = await publishRequest(
    node,
    { reference },
    { '.dockerconfigjson': JSON.stringify({ auths }) },
  );
  await daemon.csi.NodePublishVolume(request);
  verifyVolume(request.target_path, shownOf([['f', 'x']]));
  for (const { headers, path } of registry.asked) {
    assert.ok(
      !JSON.stringify([path, headers]).includes(refreshToken),
      'neither in an address nor in a header',
    );
  }
  assert.ok(!daemon.output().includes(refreshToken));
});
