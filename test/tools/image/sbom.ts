import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BaseContent } from './base-content.ts';
import type { Commit } from './build.ts';
import { type Architecture, cpus } from './tree.ts';

/** A CycloneDX document. https://cyclonedx.org/docs/1.6/json/ */
export type Sbom = {
  readonly serialNumber: string;
  readonly components: readonly Component[];
};

type Component = {
  readonly type: string;
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly [more: string]: unknown;
};

type Locked = { readonly version: string; readonly integrity: string };

export type SbomSource = {
  /** A checkout after `npm run build`. */
  readonly source: string;
  readonly commit: Commit;
  readonly architecture: Architecture;
  /** The digest of the image's manifest. */
  readonly digest: string;
  readonly base: BaseContent;
};

/**
 * What an image consists of: the npm packages of which the program has code, koffi, and Node and the packages of Debian
 * in the base. The same image gives the same document.
 */
export function writeSbom({ source, commit, architecture, digest, base }: SbomSource): Sbom {
  const read = (path: string): unknown => JSON.parse(readFileSync(join(source, path), 'utf8'));
  const { name, version, license } = read('package.json') as Record<string, string>;
  const lock = (read('package-lock.json') as { packages: Record<string, Locked> }).packages;
  const bundled = read('dist/packages.json') as readonly string[];
  const koffi = ['node_modules/koffi', `node_modules/@koromix/koffi-linux-${cpus[architecture]}`];
  const npm = [...bundled, ...koffi].map(path => {
    const locked = lock[path];
    if (locked === undefined) throw new Error(`package-lock.json does not have ${path}`);
    // The native package of another architecture is not here; koffi's own license is its license.
    const { license: stated } = read(
      join(bundled.includes(path) ? path : 'node_modules/koffi', 'package.json'),
    ) as {
      license?: string;
    };
    return toNpm(path, locked, stated);
  });
  const components = [...npm, ...toBase(base)].toSorted((a, b) => (a.purl < b.purl ? -1 : 1));
  const document = {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      timestamp: new Date(commit.epoch * 1000).toISOString(),
      component: {
        type: 'container',
        'bom-ref': 'image',
        name,
        version,
        licenses: [{ expression: license }],
        purl: `pkg:oci/${name}@${encodeURIComponent(digest)}?arch=${architecture}`,
        properties: [{ name: 'org.opencontainers.image.revision', value: commit.revision }],
      },
    },
    components,
  };
  return { ...document, serialNumber: `urn:uuid:${toUuid(JSON.stringify(document))}` };
}

function toNpm(path: string, { version, integrity }: Locked, license: string | undefined): Component {
  const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
  const content = Buffer.from(integrity.slice('sha512-'.length), 'base64').toString('hex');
  return {
    type: 'library',
    'bom-ref': `${purl}#${path}`,
    name,
    version,
    purl,
    hashes: [{ alg: 'SHA-512', content }],
    ...(license === undefined ? {} : { licenses: [{ expression: license }] }),
  };
}

function toBase({ node, packages, release }: BaseContent): readonly Component[] {
  const debian = packages.map(({ name, version, architecture, source }) => {
    const purl = `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${architecture}&distro=debian-${release}&upstream=${encodeURIComponent(source)}`;
    return { type: 'library', 'bom-ref': purl, name, version, purl };
  });
  const purl = `pkg:generic/node@${node}`;
  const cpe = `cpe:2.3:a:nodejs:node.js:${node}:*:*:*:*:*:*:*`;
  return [...debian, { type: 'platform', 'bom-ref': purl, name: 'node', version: node, purl, cpe }];
}

/** A UUID of version 8 (RFC 9562) from a hash. */
function toUuid(text: string): string {
  const bytes = createHash('sha256').update(text).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
