import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseCertificate } from '../../src/policy/signature/verify/certificate-form.ts';
import { codeSigning, findFlaw } from '../../src/policy/signature/verify/certificate-path.ts';
import { ArtifactError } from '../../src/util/error.ts';
import { needs, toolPath } from '../support/project/tools.ts';
import type { Issued } from '../support/signing/x509.ts';
import { type Chain, chains, makeChain } from '../support/signing/x509-chains.ts';
import { deviations } from '../support/signing/x509-deviations.ts';

const now = new Date('2026-06-01T12:00:00Z');

/** Where the two differ, and why that is right. */
const differences: readonly {
  readonly why: string;
  readonly ours: 'accepted' | 'refused';
  readonly applies: (chain: Chain) => boolean;
}[] = [
  {
    why: 'Keys of RSA have 2048 bits at least.',
    ours: 'refused',
    applies: chain => chain.some(({ key }) => key === 'rsa-1024'),
  },
  {
    why: 'Go does not look at what follows the content of a subject key identifier.',
    ours: 'refused',
    applies: chain => chain.some(({ oddity }) => oddity === 'an extension with bytes after its content'),
  },
  {
    why: 'Go takes a root, and a leaf, of version 1 or 2.',
    ours: 'refused',
    applies: chain =>
      [chain[0], chain.at(-1)].some(spec => spec?.oddity === 'version 1' || spec?.oddity === 'version 2'),
  },
  {
    why: 'Go passes over bytes that follow the extensions or the key within what is signed.',
    ours: 'refused',
    applies: chain =>
      chain.some(({ oddity }) => oddity === 'bytes after its extensions' || oddity === 'bytes after its key'),
  },
  {
    why: 'OpenSSL takes a certificate with its issuer’s name and no key identifier for one that signs itself.',
    ours: 'refused',
    applies: chain => chain.some(({ oddity }) => oddity === 'self-issued'),
  },
  {
    why: 'A host in a constraint is that host (RFC 5280, section 4.2.1.10); Go takes it for a domain.',
    ours: 'refused',
    applies: chain => hasHostConstraint(chain, 'permitted'),
  },
  {
    why: 'The same, the other way round.',
    ours: 'accepted',
    applies: chain => hasHostConstraint(chain, 'excluded'),
  },
  {
    why: 'OpenSSL does not know users and queries in URIs, so that they are refused under constraints.',
    ours: 'refused',
    applies: chain =>
      hasName(
        chain,
        ...['jane@other.org/', 'other.org:x@example.com/', 'other.org?.example.com/'].map(
          rest => `uri:https://${rest}`,
        ),
      ),
  },
];

function hasName(chain: Chain, ...names: readonly string[]): boolean {
  return chain.some(spec => spec.names.some(name => names.includes(String(name))));
}

function hasHostConstraint(chain: Chain, kind: 'permitted' | 'excluded'): boolean {
  const constrains = (host: string): boolean =>
    chain.some(spec => spec[kind].some(name => String(name) === host));
  return (
    (hasName(chain, 'email:jane@mail.example.com') && constrains('email:example.com')) ||
    (hasName(chain, 'uri:https://a.example.com:8443/x') && constrains('uri:example.com'))
  );
}

function ours(made: readonly Issued[]): string {
  try {
    const [root, ...others] = made.map(({ der }) => parseCertificate(der));
    const leaf = others.pop();
    if (root === undefined || leaf === undefined) throw new Error('no chain');
    const flaw = findFlaw(leaf, { roots: [root], intermediates: others }, now, codeSigning);
    return flaw === undefined ? 'accepted' : `refused: ${flaw}`;
  } catch (thrown) {
    if (!(thrown instanceof ArtifactError)) throw thrown;
    return `refused: ${thrown.message}`;
  }
}

test('certificate paths are accepted and refused as by Go’s x509', needs('x509path'), () => {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1_000_000));
  const sample = [...deviations, ...fc.sample(chains, { numRuns: 600, seed })];
  const made = sample.map(chain => makeChain(chain, now));
  const queries = made.map(certificates => {
    const [root, ...others] = certificates.map(({ der }) => der.toString('base64'));
    return JSON.stringify({ leaf: others.pop(), intermediates: others, roots: [root], time: now });
  });
  const input = queries.join('\n');
  const answers = execFileSync(toolPath('x509path'), { input, encoding: 'utf8' }).trim().split('\n');
  assert.equal(answers.length, sample.length);
  const wrong = sample.flatMap((chain, index) => {
    const [mine, theirs] = [ours(made[index] ?? []), answers[index] ?? ''];
    const [verdict = ''] = mine.split(':');
    if (theirs.startsWith(verdict)) return [];
    if (differences.some(({ ours, applies }) => ours === verdict && applies(chain))) return [];
    return [`${JSON.stringify(chain)}\n  here ${mine}\n  in Go ${theirs}`];
  });
  assert.deepEqual(wrong, [], `seed ${seed}`);
  const accepted = answers.filter(answer => answer === 'accepted').length;
  assert.ok(accepted > sample.length / 10, `${accepted} accepted`);
});
