import { createReadStream } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract } from 'tar-stream';

/** What the base of an image has. */
export type BaseContent = {
  /** The version of Node. */
  readonly node: string;
  /** The release of Debian, as in `13`. */
  readonly release: string;
  readonly packages: readonly DebianPackage[];
};

export type DebianPackage = {
  readonly name: string;
  readonly version: string;
  /** As in `amd64`, or `all`. */
  readonly architecture: string;
  readonly source: string;
};

/** Reads it from the layers of an image, which are tars, compressed by gzip. @throws if something is not there. */
export async function readBaseContent(layers: readonly string[]): Promise<BaseContent> {
  const packages = new Map<string, DebianPackage>();
  let [node, release] = ['', ''];
  for (const layer of layers) {
    const reader = extract();
    const reading = pipeline(createReadStream(layer), createGunzip(), reader);
    for await (const entry of reader) {
      const path = entry.header.name.replace(/^\.?\//, '');
      if (path === 'nodejs/bin/node') node = parseNodeVersion(await buffer(entry));
      else if (path === 'usr/lib/os-release') release = parseRelease(String(await buffer(entry)));
      else if (/^var\/lib\/dpkg\/status\.d\/[^/]+$/.test(path) && !path.endsWith('.md5sums')) {
        for (const found of parseStatus(String(await buffer(entry)))) packages.set(found.name, found);
      } else entry.resume();
    }
    await reading;
  }
  if (node === '' || release === '' || packages.size === 0)
    throw new Error('the base of the image has no Node at /nodejs, no os-release, or no list of packages');
  return { node, release, packages: [...packages.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1)) };
}

/** Each build of Node contains the address of its own headers. */
function parseNodeVersion(program: Buffer): string {
  const at = program.indexOf('-headers.tar.gz');
  return (
    /node-v(\d+\.\d+\.\d+)$/.exec(
      program.subarray(Math.max(0, at - 40), Math.max(0, at)).toString('latin1'),
    )?.[1] ?? ''
  );
}

function parseRelease(text: string): string {
  return /^VERSION_ID="?(\d+)/m.exec(text)?.[1] ?? '';
}

/** The paragraphs of a status file (deb822(5)). */
function parseStatus(text: string): readonly DebianPackage[] {
  return text.split(/\n\n+/).flatMap(paragraph => {
    const field = (name: string): string | undefined =>
      new RegExp(`^${name}: *(.*)$`, 'm').exec(paragraph)?.[1];
    const [name, version, architecture] = [field('Package'), field('Version'), field('Architecture')];
    if (name === undefined || version === undefined || architecture === undefined) return [];
    return [{ name, version, architecture, source: (field('Source') ?? name).replace(/ .*/, '') }];
  });
}
