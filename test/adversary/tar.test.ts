import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { describe, test } from 'node:test';
import { ociManifest } from '../../src/oci/manifest.ts';
import { publishRequest } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { openSetting } from '../support/node/setting.ts';
import { paxEntry, type RawEntry, rawTar } from '../support/oci/raw-tar.ts';
import { sha256 } from '../support/oci/tar.ts';
import { mountsBelow } from '../support/os/mounts.ts';

/** Tars that no honest tool writes, from the registry to the mount: a tree of their own, or a refusal. */

const { registry, node, daemon } = await openSetting();

const tarType = 'application/vnd.oci.image.layer.v1.tar';
type Tar = readonly (RawEntry | Buffer)[];
let tags = 0;

/** Pushes layers, the lowest first, as an image or as an artifact, and publishes them. */
async function publish(kind: 'image' | 'artifact', tars: readonly Tar[], subPath?: string) {
  const bytes = tars.map(entries => rawTar(...entries));
  const config = Buffer.from(JSON.stringify({ rootfs: { diff_ids: bytes.map(sha256) }, tag: tags }));
  for (const blob of [config, ...bytes]) await registry.registry.putBlob('evil/tar', blob);
  const configType =
    kind === 'image' ? 'application/vnd.oci.image.config.v1+json' : 'application/x.evil.config';
  const document = {
    schemaVersion: 2,
    mediaType: ociManifest,
    config: { mediaType: configType, digest: sha256(config), size: config.length },
    layers: bytes.map(blob => ({ mediaType: tarType, digest: sha256(blob), size: blob.length })),
  };
  const tag = `t${tags++}`;
  await registry.registry.putManifest('evil/tar', tag, ociManifest, Buffer.from(JSON.stringify(document)));
  const reference = `${registry.host}/evil/tar:${tag}`;
  const request = await publishRequest(node, { reference, ...(subPath === undefined ? {} : { subPath }) });
  return { ...(await outcomeOf(daemon.csi.NodePublishVolume(request))), path: request.target_path };
}

/**
 * Every name below a directory as bytes in latin1: files by their content, links by their target, directories with a
 * slash.
 */
function* show(directory: Buffer, above = ''): Generator<readonly [name: string, what: string]> {
  for (const entry of readdirSync(directory, { withFileTypes: true, encoding: 'buffer' })) {
    const path = Buffer.concat([directory, Buffer.from('/'), entry.name]);
    const name = above + entry.name.toString('latin1');
    if (entry.isSymbolicLink()) yield [name, `-> ${readlinkSync(path)}`];
    else if (entry.isDirectory()) {
      yield [`${name}/`, ''];
      yield* show(path, `${name}/`);
    } else yield [name, readFileSync(path, 'latin1')];
  }
}

/** No file of the host has this name. */
const evil = `evil-${process.pid}`;
const file = (name: string, body = name): RawEntry => ({ name, body });
const directory = (name: string): RawEntry => ({ name, type: '5', mode: '0000755' });
const symlink = (name: string, linkname: string): RawEntry => ({ name, type: '2', linkname });
const link = (name: string, linkname: string): RawEntry => ({ name, type: '1', linkname });
const pax = (records: Record<string, string | Buffer>): Buffer => paxEntry(records);

const lower: Tar = [directory('d/'), file('d/a'), file('d/b'), file('e'), symlink('to-d', 'd')];

describe('a tree has the content of its layers, and nothing of the host:', () => {
  const rows: readonly (readonly [
    name: string,
    kind: 'image' | 'artifact',
    layers: readonly Tar[],
    shown: Record<string, string>,
  ])[] = [
    [
      'an opaque mark in the root, after what it must not hide, and twice',
      'image',
      [lower, [file('new'), file('.wh..wh..opq', ''), file('.wh..wh..opq', '')]],
      { new: 'new' },
    ],
    [
      'an opaque mark through a symlink is for where that leads',
      'image',
      [lower, [directory('d/'), symlink('to', '../../d'), file('to/.wh..wh..opq', '')]],
      { 'd/': '', e: 'e', 'to-d': '-> d', to: '-> ../../d' },
    ],
    [
      'a whiteout that is a hard link, a symlink, a directory or a device is a whiteout',
      'image',
      [
        lower,
        [
          link('d/.wh.a', 'd/.wh.b'),
          symlink('.wh.e', '/etc/passwd'),
          directory('.wh.to-d/'),
          { name: 'd/.wh.b', type: '3' },
        ],
      ],
      { 'd/': '' },
    ],
    [
      'a whiteout of what is not there, and of a whole path at once',
      'image',
      [lower, [file('.wh.nothing', ''), file('.wh.d%2fa', ''), file('d/.wh..wh.plnk', '')]],
      { 'd/': '', 'd/a': 'd/a', 'd/b': 'd/b', e: 'e', 'to-d': '-> d' },
    ],
    [
      'whiteouts are names like any other in an artifact',
      'artifact',
      [[file('a')], [file('.wh.a', ''), file('.wh..wh..opq', '')]],
      { a: 'a', '.wh.a': '', '.wh..wh..opq': '' },
    ],
    [
      'links out of the root stay in it',
      'artifact',
      [
        [
          directory('etc/'),
          symlink('out', '../../../../etc'),
          symlink('abs', '/etc'),
          file('out/x'),
          file('abs/y'),
        ],
      ],
      { 'etc/': '', 'etc/x': 'out/x', 'etc/y': 'abs/y', out: '-> ../../../../etc', abs: '-> /etc' },
    ],
    [
      'a hard link by an absolute name is one within the tree',
      'artifact',
      [[file('etc/passwd', 'mine'), link('stolen', '/etc/passwd')]],
      { 'etc/': '', 'etc/passwd': 'mine', stolen: 'mine' },
    ],
    [
      'names are bytes, whatever they mean',
      'artifact',
      [[file('\xff\xfe'), file('\xc3\xa9'), file('e\xcc\x81'), file('\xed\xa0\x80'), file(' \t\n\x1b')]],
      {
        '\xff\xfe': '\xff\xfe',
        '\xc3\xa9': '\xc3\xa9',
        'e\xcc\x81': 'e\xcc\x81',
        '\xed\xa0\x80': '\xed\xa0\x80',
        ' \t\n\x1b': ' \t\n\x1b',
      },
    ],
    [
      'a symlink to the host leads to the same path in the tree',
      'artifact',
      [
        [
          symlink('s', '/tmp'),
          file(`s/${evil}`, 'mine'),
          symlink('up', '../../..'),
          file(`up/${evil}`, 'mine'),
        ],
      ],
      { s: '-> /tmp', up: '-> ../../..', 'tmp/': '', [`tmp/${evil}`]: 'mine', [evil]: 'mine' },
    ],
    [
      'a hard link to a lower layer, also through a symlink',
      'image',
      [lower, [link('l', 'd/a'), link('m', 'to-d/b')]],
      { 'd/': '', 'd/a': 'd/a', 'd/b': 'd/b', e: 'e', l: 'd/a', m: 'd/b', 'to-d': '-> d' },
    ],
    [
      'a device, and what is below it',
      'image',
      [
        lower,
        [
          { name: 'd', type: '3' },
          { name: 'e', type: '6', size: 5 },
        ],
      ],
      { 'to-d': '-> d' },
    ],
    [
      '.. that stays in the root',
      'artifact',
      [[file('a/../b'), file('./c/./../d/e')]],
      { b: 'a/../b', 'd/': '', 'd/e': './c/./../d/e' },
    ],
    ['a name ends at its NUL', 'artifact', [[file('a\0/../../b', 'content')]], { a: 'content' }],
    [
      'a name of 255 bytes',
      'artifact',
      [[pax({ path: '\xc3\xa9'.repeat(127) + 'x' }), file('f', 'long')]],
      { ['\xc3\xa9'.repeat(127) + 'x']: 'long' },
    ],
    [
      'names that JavaScript knows',
      'artifact',
      [[file('__proto__'), file('constructor/prototype'), file('toString')]],
      {
        ['__proto__']: '__proto__',
        'constructor/': '',
        'constructor/prototype': 'constructor/prototype',
        toString: 'toString',
      },
    ],
  ];
  for (const [name, kind, layers, shown] of rows) {
    test(name, async () => {
      const { code, text, path } = await publish(kind, layers);
      assert.equal(code, 'OK', text);
      assert.deepEqual(new Map(show(Buffer.from(path))), new Map(Object.entries(shown)));
    });
  }
});

describe('refused, with nothing mounted:', () => {
  const long = 'x'.repeat(256);
  const rows: readonly (readonly [name: string, kind: 'image' | 'artifact', layers: readonly Tar[]])[] = [
    ['.. in a name', 'artifact', [[file(`../${evil}`)]]],
    ['.. in a name of PAX', 'artifact', [[pax({ path: `a/../../${evil}` }), file('f')]]],
    ['.. in a hard link', 'artifact', [[file('f'), link('l', '../../../../../../etc/passwd')]]],
    ['a hard link to a file of the host', 'artifact', [[link('l', '/etc/passwd')]]],
    [
      'a hard link through a symlink to the host',
      'artifact',
      [[symlink('s', '/etc'), link('l', 's/passwd')]],
    ],
    ['a hard link to a whiteout', 'image', [lower, [file('.wh.e', ''), link('l', '.wh.e')]]],
    ['a hard link to a directory', 'image', [[directory('d/'), link('l', 'd')]]],
    ['symlinks in a circle as a parent', 'artifact', [[symlink('a', 'b'), symlink('b', 'a'), file('a/f')]]],
    ['a whiteout of nothing', 'image', [lower, [file('.wh.', '')]]],
    ['a whiteout of the directory itself', 'image', [lower, [file('d/.wh..', '')]]],
    ['a whiteout of the directory above', 'image', [lower, [file('d/.wh...', '')]]],
    ['a file in a whiteout', 'image', [lower, [file('.wh.d/f')]]],
    ['a file in an opaque mark', 'image', [lower, [file('.wh..wh..opq/f')]]],
    ['an opaque mark in a file', 'image', [lower, [file('e'), file('e/.wh..wh..opq', '')]]],
    ['a name of 256 bytes', 'artifact', [[pax({ path: long }), file('f')]]],
    [
      'a name of 256 bytes in two-byte characters',
      'artifact',
      [[pax({ path: '\xc3\xa9'.repeat(128) }), file('f')]],
    ],
    ['NUL in a name of PAX', 'artifact', [[pax({ path: 'a\0b' }), file('f')]]],
    ['NUL in a target of PAX', 'artifact', [[pax({ linkpath: 'a\0b' }), symlink('s', 'x')]]],
    ['a device', 'artifact', [[{ name: 'null', type: '3' }]]],
    ['a file where a directory is', 'artifact', [[file('x')], [file('x/y')]]],
  ];
  for (const [name, kind, layers] of rows) {
    test(name, async () => {
      const { code, text, path } = await publish(kind, layers);
      assert.equal(code, 'FAILED_PRECONDITION', text);
      assert.deepEqual(mountsBelow(path), []);
      assert.equal(existsSync(`/tmp/${evil}`) || existsSync(`/${evil}`), false);
    });
  }
});

test('a subPath through symlinks stays in the tree, and terminates', async () => {
  const chain = (length: number): Tar => [
    directory('end/'),
    file('end/f', 'found'),
    ...Array.from({ length }, (_, nth) => symlink(`s${nth}`, nth === 0 ? 'end' : `s${nth - 1}`)),
  ];
  const through = await publish('artifact', [chain(40)], 's39');
  assert.equal(through.code, 'OK', through.text);
  assert.equal(readFileSync(join(through.path, 'f'), 'utf8'), 'found');
  const own: Tar = [
    symlink('out', '../../../../proc'),
    symlink('abs', '/proc'),
    symlink('d/abs', '/proc'),
    file('proc/version', 'mine'),
  ];
  for (const subPath of ['out/version', 'abs/version', 'd/abs/version', 'out', 'abs', 'd/abs']) {
    const { code, text, path } = await publish('artifact', [own], subPath);
    assert.equal(code, 'OK', text);
    assert.equal(readFileSync(join(path, 'version'), 'utf8'), 'mine');
  }
  const outside: Tar = [
    symlink('out', '../../../../etc'),
    symlink('abs', '/etc'),
    symlink('self', 'self/self'),
  ];
  for (const [tar, subPath] of [
    [chain(41), 's40'],
    [outside, 'out'],
    [outside, 'abs'],
    [outside, 'abs/passwd'],
    [outside, 'self'],
    [[symlink('a', '/'.repeat(90) + 'a/a/a/a')], 'a'],
  ] as const) {
    const { code, text, path } = await publish('artifact', [tar], subPath);
    assert.equal(code, 'FAILED_PRECONDITION', text);
    assert.deepEqual(mountsBelow(path), []);
  }
});
