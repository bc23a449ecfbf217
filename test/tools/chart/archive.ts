import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { type Document, parse, parseDocument } from 'yaml';

/** The image that a packed chart names instead of the one in its values. */
export type ChartImage = { readonly repository: string; readonly digest: string };

export type ChartArchive = { readonly name: string; readonly bytes: Buffer };

/** 1980: equal content has equal bytes, whenever it is packed. `helm package` writes the time. */
const mtime = new Date(315_532_800_000);

/**
 * The chart as Helm's .tgz, with the licence. The same files give the same bytes, whatever their modes, their times and
 * the directory that has them.
 */
export async function packChart(root: string, image?: ChartImage): Promise<ChartArchive> {
  const directory = join(root, 'charts/oci-artifact-csi');
  const files = globSync('**/*', { cwd: directory, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(directory.length + 1))
    // Helm reads Chart.yaml first.
    .toSorted((a, b) => Number(b === 'Chart.yaml') - Number(a === 'Chart.yaml') || (a < b ? -1 : 1));
  const edit = image === undefined ? {} : edits(image);
  const archive = pack();
  const add = (path: string, content: Buffer | string): void => {
    archive.entry({ name: `oci-artifact-csi/${path}`, mode: 0o644, uid: 0, gid: 0, mtime }, content);
  };
  for (const path of files) {
    const content = readFileSync(join(directory, path));
    add(path, edit[path] === undefined ? content : edited(content, edit[path]));
  }
  add('LICENSE', readFileSync(join(root, 'LICENSE')));
  archive.finalize();
  const { version } = parse(readFileSync(join(directory, 'Chart.yaml'), 'utf8')) as { version: string };
  return {
    name: `oci-artifact-csi-${version}.tgz`,
    bytes: gzipSync(await buffer(archive), { level: 9 }),
  };
}

type Edit = (document: Document) => void;

function edits({ repository, digest }: ChartImage): Readonly<Record<string, Edit>> {
  const listed = { name: 'oci-artifact-csi', image: `${repository}@${digest}` };
  return {
    'values.yaml': document => {
      document.setIn(['image', 'repository'], repository);
      document.setIn(['image', 'digest'], digest);
    },
    'Chart.yaml': document => {
      document.setIn(['annotations', 'artifacthub.io/images'], `${JSON.stringify([listed])}\n`);
    },
  };
}

function edited(content: Buffer, edit: Edit): string {
  const document = parseDocument(content.toString());
  edit(document);
  return document.toString({ lineWidth: 0 });
}
