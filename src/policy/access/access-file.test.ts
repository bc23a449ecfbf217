import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { rewrite } from '../../../test/support/os/rewrite.ts';
import { ArtifactError } from '../../util/error.ts';
import { openAccessFile } from './access-file.ts';

const never = new AbortController().signal;
const directory = mkdtempSync(join(tmpdir(), 'access-file-'));
after(() => rmSync(directory, { recursive: true }));

const reference = { registry: 'ghcr.io', path: 'acme/model', tag: 'v1' };
const pod = { namespace: 'shop', name: 'web-0', uid: 'u-1' };
const request = { caller: 'pod', pod } as const;

/** A policy without a Kubernetes API, and its reports. */
const told: string[] = [];
const open = (file: string, namespaces?: Namespaces) => {
  told.length = 0;
  return openAccessFile(file, { namespaces, note: text => told.push(text) });
};
type Namespaces = Parameters<typeof openAccessFile>[1]['namespaces'];

const allowing = 'default: allow';
const denying = 'default: deny';

test('the file is read again when it changes: written in place, replaced, removed, right again', async () => {
  const file = join(directory, 'changing.yaml');
  writeFileSync(file, allowing);
  const policy = open(file);
  await policy.verify(reference, request, never);
  await rewrite(file, denying.padEnd(allowing.length));
  await assert.rejects(policy.verify(reference, request, never), {
    code: 'denied',
    message: `ghcr.io/acme/model:v1 is refused to pods of the namespace "shop" by the access policy ${file}, its default (line 1); mount another artifact, or change that file`,
  });
  writeFileSync(`${file}.new`, allowing);
  renameSync(`${file}.new`, file);
  await policy.verify(reference, request, never);
  rmSync(file);
  await assert.rejects(policy.verify(reference, request, never), {
    code: 'denied',
    message:
      /^ghcr\.io\/acme\/model:v1 cannot be mounted: .* is broken \(it does not exist; correct the path, or mount it into the driver's container\), and all mounts are refused/,
  });
  writeFileSync(file, allowing);
  await policy.verify(reference, request, never);
  assert.deepEqual(policy.problems(), []);
});

test('a broken file is a problem at the start, and refuses all pods', async () => {
  const file = join(directory, 'broken.yaml');
  writeFileSync(file, 'default: allow\nrule: []');
  const { problems, verify } = open(file);
  assert.match(
    problems().join('\n'),
    /broken\.yaml is broken: line 2: rule is an unknown field(?: \(did you mean \w+\?\))?; the known fields are default, rules; until/,
  );
  await assert.rejects(verify(reference, request, never), {
    code: 'denied',
    message:
      /broken\.yaml of this node is broken \(line 2: rule is an unknown field(?: \(did you mean \w+\?\))?; the known fields are default, rules\), and all mounts are refused until its administrator corrects it$/,
  });
});

test('a directory in place of the file refuses all pods, and the error names it once', async () => {
  const { verify } = open(directory);
  await assert.rejects(verify(reference, request, never), {
    code: 'denied',
    message: `ghcr.io/acme/model:v1 cannot be mounted: the access policy ${directory} of this node is broken (it cannot be read (EISDIR)), and all mounts are refused until its administrator corrects it`,
  });
});

test("without kubelet's information on the pod nothing is allowed", async () => {
  const file = join(directory, 'open.yaml');
  writeFileSync(file, allowing);
  const { verify } = open(file);
  const podUnknown = 'the volume context has no csi.storage.k8s.io/pod.name';
  await assert.rejects(verify(reference, { caller: 'pod', podUnknown }, never), {
    code: 'denied',
    message:
      /asks for the namespace of the pod, .*: the volume context has no csi\.storage\.k8s\.io\/pod\.name$/,
  });
  await assert.rejects(verify(reference, { caller: 'pod' }, never), {
    message: /: kubelet did not tell; set podInfoOnMount: true in the CSIDriver object$/,
  });
});

test('an administrator is not checked, whatever the file', async () => {
  const { verify } = open(join(directory, 'absent.yaml'));
  await verify(reference, { caller: 'administrator' }, never);
});

test('a prefetch of a namespace counts as a pod of it, and the list of the administrator does not', async () => {
  const file = join(directory, 'prefetch.yaml');
  writeFileSync(file, denying);
  const { verify } = open(file);
  await verify(reference, { caller: 'prefetch' }, never);
  await assert.rejects(verify(reference, { caller: 'prefetch', namespace: 'shop' }, never), {
    code: 'denied',
    message: /is refused to pods of the namespace "shop" by the access policy/,
  });
});

const labelled = `default: deny
rules:
  - name: trusted
    namespaceSelector: { matchLabels: { trusted: "yes" } }
    references: [ghcr.io/acme/**]
    action: allow
`;

test('labels are read if a rule needs them, and once', async () => {
  const file = join(directory, 'labelled.yaml');
  writeFileSync(file, labelled);
  const asked: string[] = [];
  const { verify, problems } = open(file, {
    async labels(name) {
      asked.push(name);
      return name === 'shop' ? { trusted: 'yes' } : {};
    },
  });
  assert.deepEqual(problems(), []);
  await verify(reference, request, never);
  const other = { caller: 'pod', pod: { ...pod, namespace: 'other' } } as const;
  await assert.rejects(verify(reference, other, never), {
    code: 'denied',
    message: /namespace "other" by the access policy .*, its default \(line 1\)/,
  });
  await assert.rejects(verify({ ...reference, registry: 'quay.io' }, request, never), { code: 'denied' });
  assert.deepEqual(asked, ['shop', 'other']);
});

test('labels that cannot be read refuse, with their own code and the rule that needs them', async () => {
  const file = join(directory, 'labelled.yaml');
  writeFileSync(file, labelled);
  for (const code of ['unavailable', 'denied'] as const) {
    const { verify } = open(file, {
      labels: () => Promise.reject(new ArtifactError(code, 'the API is away')),
    });
    await assert.rejects(verify(reference, request, never), {
      code,
      message: `ghcr.io/acme/model:v1 is refused to pods of the namespace "shop" by the access policy ${file} while the labels of that namespace cannot be read, which its rule "trusted" (line 3) asks for: the API is away`,
    });
  }
});

test('a caller that aborts while labels are read gets its own reason', async () => {
  const file = join(directory, 'labelled.yaml');
  writeFileSync(file, labelled);
  const leaving = new AbortController();
  const { verify } = open(file, {
    async labels() {
      leaving.abort(new Error('gone'));
      throw new Error('aborted');
    },
  });
  await assert.rejects(verify(reference, request, leaving.signal), /^Error: gone$/);
});

test('while the Kubernetes API is off, a rule that needs labels makes the file unusable', async () => {
  const file = join(directory, 'labelled.yaml');
  writeFileSync(file, labelled);
  const { verify } = open(file);
  await assert.rejects(verify(reference, request, never), {
    code: 'denied',
    message:
      /is broken \(its rule "trusted" \(line 3\) has a namespaceSelector, .*set --pod-pull-secrets, or/,
  });
});

test('each change is reported once, and a file that is rewritten with the same content is not a change', async () => {
  const file = join(directory, 'told.yaml');
  writeFileSync(file, allowing);
  const { verify, problems } = open(file);
  assert.deepEqual(told, []);
  writeFileSync(file, 'default: perhaps');
  assert.equal(problems().length, 1);
  await assert.rejects(verify(reference, request, never), { code: 'denied' });
  const broken = `the access policy ${file} is broken: line 1: default: invalid value "perhaps": must be allow or deny; until the file is corrected, every mount is refused`;
  assert.deepEqual(told, [broken]);
  writeFileSync(file, denying);
  assert.deepEqual(problems(), []);
  writeFileSync(file, denying);
  assert.deepEqual(problems(), []);
  assert.deepEqual(told, [broken, `the access policy ${file} has changed and was read again`]);
});
