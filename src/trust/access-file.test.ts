import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { AccessPolicy } from '../volume/contracts.ts';
import { openAccessFile } from './access-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'access-file-'));
after(() => rmSync(folder, { recursive: true }));

const reference = { registry: 'ghcr.io', path: 'acme/model', tag: 'v1' };
const pod = { namespace: 'shop', name: 'web-0', uid: 'u-1' };
const request = { caller: 'pod', pod } as const;

const allowing = 'default: allow';
const denying = 'default: deny';

test('the file is read again when it changes: written in place, replaced, removed, right again', async () => {
  const file = join(folder, 'changing.yaml');
  writeFileSync(file, allowing);
  const policy = (await openAccessFile(file)) satisfies AccessPolicy;
  policy.verify(reference, request);
  writeFileSync(file, `${denying}\n`);
  assert.throws(() => policy.verify(reference, request), {
    code: 'denied',
    message: `ghcr.io/acme/model:v1 is refused to pods of the namespace "shop" by the access policy ${file}, its default (line 1); mount another artifact, or change that file`,
  });
  writeFileSync(`${file}.new`, allowing);
  renameSync(`${file}.new`, file);
  policy.verify(reference, request);
  rmSync(file);
  assert.throws(() => policy.verify(reference, request), {
    code: 'denied',
    message: /^ghcr\.io\/acme\/model:v1 is refused, and so is everything, .*cannot be read \(ENOENT\)/,
  });
  writeFileSync(file, allowing);
  policy.verify(reference, request);
  assert.deepEqual(policy.problems(), []);
});

test('a broken file is a problem at the start, and refuses all pods', async () => {
  const file = join(folder, 'broken.yaml');
  writeFileSync(file, 'default: allow\nrule: []');
  const { problems, verify } = await openAccessFile(file);
  assert.match(
    problems().join('\n'),
    /broken\.yaml cannot be used: line 2: rule is a field that nobody knows.*; until/,
  );
  assert.throws(() => verify(reference, request), {
    code: 'denied',
    message:
      /so is everything, .*broken\.yaml cannot be used: line 2: rule is a field that nobody knows.*; correct it/,
  });
});

test('a folder in place of the file refuses all pods', async () => {
  const { verify } = await openAccessFile(folder);
  assert.throws(() => verify(reference, request), { code: 'denied', message: /cannot be read \(EISDIR\)/ });
});

test('without the word of kubelet on the pod nothing is allowed', async () => {
  const file = join(folder, 'open.yaml');
  writeFileSync(file, allowing);
  const { verify } = await openAccessFile(file);
  assert.throws(() => verify(reference, { caller: 'pod' }), {
    code: 'denied',
    message: /needs the pod's namespace and uid, .*set podInfoOnMount: true in the CSIDriver object/,
  });
});

test('an administrator is not judged, whatever the file', async () => {
  const { verify } = await openAccessFile(join(folder, 'absent.yaml'));
  verify(reference, { caller: 'administrator' });
});

test('with no policy every pod may have everything', async () => {
  const { verify, problems } = await openAccessFile(undefined);
  verify(reference, { caller: 'pod' });
  assert.deepEqual(problems(), []);
});
