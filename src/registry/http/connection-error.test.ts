import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toConnectionError } from './connection-error.ts';
import type { HostOrigin } from './host-origin.ts';

const url = new URL('https://m.io:5000/v2/');
const origins: readonly HostOrigin[] = [
  { kind: 'reference' },
  { kind: 'registries.conf', file: '/etc/r.conf.d/m.conf' },
  { kind: 'hosts.toml', file: '/etc/certs.d/a.io/hosts.toml' },
  { kind: 'server', host: 'a.io' },
];

const rows: readonly (readonly [errno: string, advice: readonly string[]])[] = [
  [
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    [
      'add its CA with --ca-file, or mark the registry insecure in registries.conf, or set skip_verify in its hosts.toml',
      'add its CA with --ca-file, or write insecure = true for m.io:5000 in /etc/r.conf.d/m.conf',
      'add its CA with --ca-file, or write ca or skip_verify for m.io:5000 in /etc/certs.d/a.io/hosts.toml',
      'add its CA with --ca-file; a.io sends this node there',
    ],
  ],
  [
    'ERR_SSL_WRONG_VERSION_NUMBER',
    [
      'if it serves plain HTTP, mark the registry insecure in registries.conf, or write http:// before the host in its hosts.toml',
      'if it serves plain HTTP, write insecure = true for m.io:5000 in /etc/r.conf.d/m.conf',
      'if it serves plain HTTP, write http://m.io:5000 in /etc/certs.d/a.io/hosts.toml',
      'a.io sends this node there by https: correct the address there',
    ],
  ],
  [
    'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
    [
      'it may want a client certificate, which --certs-dir can give it',
      'it may want a client certificate, which --certs-dir can give it',
      'it may want a client certificate, which client for m.io:5000 in /etc/certs.d/a.io/hosts.toml, or --certs-dir, can give it',
      'a.io sends this node there, and a client certificate goes to no such server',
    ],
  ],
  [
    'ENOTFOUND',
    [
      "check its spelling, and the node's resolver",
      "check its spelling in /etc/r.conf.d/m.conf, and the node's resolver",
      "check its spelling in /etc/certs.d/a.io/hosts.toml, and the node's resolver",
      "a.io sends this node there; check the node's resolver",
    ],
  ],
];

for (const [errno, advice] of rows) {
  test(`${errno} names the file that the host comes from`, () => {
    const thrown = Object.assign(new Error('no'), { code: errno });
    const said = origins.map(origin => toConnectionError(thrown, { url, origin }, false).message);
    assert.deepEqual(
      said.map(message => message.slice(message.indexOf('; ') + 2)),
      advice,
    );
  });
}
