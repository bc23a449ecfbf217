import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { fetchNpmPackage } from './npm-package.ts';

/**
 * `node test/tools/image/tree.ts <architecture> <directory>`: what the image adds to its base, from the dist/ of
 * `npm run build`. The Dockerfile runs it. The same sources give the same bytes and modes everywhere.
 */

export type Architecture = 'amd64' | 'arm64';

const root = fileURLToPath(new URL('../../..', import.meta.url));
/** The names that Node has for them. */
export const cpus: Readonly<Record<Architecture, string>> = { amd64: 'x64', arm64: 'arm64' };
const koffi = ['package.json', 'LICENSE.txt', 'index.js', 'src/koffi/index.js', 'src/koffi/src/static.js'];
/** The path of Node in the base, which has neither a shell nor env. */
const shebang = '#!/nodejs/bin/node';

/** Writes the tree into a directory, which it replaces. */
async function writeImageTree(architecture: Architecture, out: string): Promise<void> {
  rmSync(out, { recursive: true, force: true });
  const app = join(out, 'app');
  cpSync(join(root, 'dist'), join(app, 'dist'), {
    recursive: true,
    filter: path => !path.endsWith('.map') && !path.endsWith('/packages.json'),
  });
  const main = join(app, 'dist/main.js');
  writeFileSync(main, readFileSync(main, 'utf8').replace(/^#!.*/, shebang));
  cpSync(join(root, 'LICENSE'), join(app, 'LICENSE'));
  for (const path of koffi)
    cpSync(join(root, 'node_modules/koffi', path), join(app, 'node_modules/koffi', path));
  await writeNative(architecture, join(app, 'node_modules'));
  setModes(app);
  const command = join(out, 'usr/local/bin/oci-artifact-csi');
  mkdirSync(dirname(command), { recursive: true });
  symlinkSync('/app/dist/main.js', command);
  setModes(join(out, 'usr'));
  chmodSync(out, 0o755);
  chmodSync(main, 0o755);
}

/** koffi's library for an architecture, which need not be the one of this machine. */
async function writeNative(architecture: Architecture, modules: string): Promise<void> {
  const cpu = cpus[architecture];
  const name = `@koromix/koffi-linux-${cpu}`;
  const scratch = mkdtempSync(join(tmpdir(), 'oac-koffi-'));
  try {
    const files = await fetchNpmPackage(root, name, scratch);
    for (const path of ['package.json', 'index.js', `linux_${cpu}/koffi.node`]) {
      const bytes = files.get(path);
      if (bytes === undefined) throw new Error(`${name} has no ${path}`);
      const to = join(modules, name, path);
      mkdirSync(dirname(to), { recursive: true });
      writeFileSync(to, bytes);
    }
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** Modes that do not depend on the umask. */
function setModes(directory: string): void {
  chmodSync(directory, 0o755);
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) setModes(path);
    else if (entry.isFile()) chmodSync(path, 0o644);
  }
}

if (import.meta.main) {
  const [architecture, out] = process.argv.slice(2);
  if (out === undefined || (architecture !== 'amd64' && architecture !== 'arm64'))
    throw new Error('usage: node test/tools/image/tree.ts amd64|arm64 DIRECTORY');
  await writeImageTree(architecture, out);
}
