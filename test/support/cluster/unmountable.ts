import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rawTar } from '../oci/raw-tar.ts';
import { sha256 } from '../oci/tar.ts';
import type { Cluster } from './cluster.ts';
import { hosts } from './registries.ts';

type UnmountableName = 'hostile' | 'large' | 'unsigned' | 'elsewhere' | 'clash' | 'wrong';

/** Artifacts that a registry has and a node refuses. */
export const unmountable: Readonly<Record<UnmountableName, string>> = {
  /** A tar with a path that leads out of it. */
  hostile: `${hosts.open}/images/hostile:1`,
  /** Larger than 3 MiB. */
  large: `${hosts.open}/models/large:1`,
  /** Without the signature that the policy demands. */
  unsigned: `${hosts.open}/signed/model:1`,
  /** An index of another platform. */
  elsewhere: `${hosts.open}/models/tiny:elsewhere`,
  /** A file and a directory of one name. */
  clash: `${hosts.open}/models/tiny:clash`,
  /** The registry sends other bytes. */
  wrong: `${hosts.open}/models/wrong:1`,
};

const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pem = publicKey.export({ type: 'spki', format: 'pem' });
/** Demands a signature by a key that nobody has, for a part of the registry. */
export const signaturePolicy: object = {
  default: [{ type: 'insecureAcceptAnything' }],
  transports: {
    docker: {
      [`${hosts.open}/signed`]: [
        {
          type: 'sigstoreSigned',
          keyData: Buffer.from(pem).toString('base64'),
          signedIdentity: { type: 'matchRepository' },
        },
      ],
    },
  },
};

type Document = { readonly layers?: readonly object[] };

/** Pushes what a registry takes and a node refuses. `good` is an artifact of the file `hello.txt` in the same registry. */
export async function pushUnmountable({ root, run, push, pushImage }: Cluster, good: string): Promise<void> {
  await pushImage(unmountable.hostile, [rawTar({ name: '../../etc/passwd', body: 'x' })]);
  await push(unmountable.large, { 'large.bin': Buffer.alloc(3_500_000, 'large ') });
  await push(unmountable.unsigned, { 'hello.txt': 'hello' });
  const fetch = async (...more: readonly string[]): Promise<Document> =>
    JSON.parse(await run('oras', ['manifest', 'fetch', '--plain-http', ...more, good])) as Document;
  const store = (reference: string, document: object): Promise<string> =>
    run('oras', ['manifest', 'push', '--plain-http', reference, '-'], JSON.stringify(document));

  const platform = { os: 'linux', architecture: 's390x' };
  await store(unmountable.elsewhere, {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [{ ...(await fetch('--descriptor')), platform }],
  });
  const manifest = await fetch();
  const [layer] = manifest.layers ?? [];
  const inside = { 'org.opencontainers.image.title': 'hello.txt/inside' };
  await store(unmountable.clash, { ...manifest, layers: [layer, { ...layer, annotations: inside }] });

  const right = Buffer.from('what was pushed, and then changes on the disk of the registry');
  await push(unmountable.wrong, { 'wrong.bin': right });
  const [, hex = ''] = sha256(right).split(':');
  const blobs = 'var/lib/registries/5000/docker/registry/v2/blobs/sha256';
  await writeFile(join(root, blobs, hex.slice(0, 2), hex, 'data'), Buffer.alloc(right.length, 'x'));
}
