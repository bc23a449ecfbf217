import { globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build, type PluginBuild } from 'esbuild';
import { builtins } from './builtins.ts';
import { toLauncher } from './launcher.ts';
import { apart, packagesApart, toEntry, toFileName } from './packages-apart.ts';
import { serializers } from './serializers.ts';
import { readOptions } from './usage.ts';

/**
 * `npm run build`: the program as JavaScript in dist/, which starts in half the time. dist/ with node_modules/koffi
 * and its native package @koromix/koffi-linux-<arch> beside it is all that runs; koffi is native, so no bundle holds it.
 *
 * A benchmark builds with `--outdir` elsewhere, and with `--replace src/a.ts=test/b.ts` another module.
 */

const values = readOptions('npm run build [-- [--outdir dist] [--replace src/a.ts=test/b.ts]]', {
  outdir: { type: 'string', default: 'dist' },
  replace: { type: 'string' },
});
const root = fileURLToPath(new URL('../..', import.meta.url));
const dist = join(root, values.outdir);
const [replaced, replacement] = (values.replace ?? '').split('=').map(path => join(root, path));
process.chdir(root);

rmSync(dist, { recursive: true, force: true });
const plugins = [
  serializers,
  builtins,
  ...(values.replace === undefined ? [] : [{ name: 'replace', setup: replace }]),
];
const common = {
  outdir: dist,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node26',
  external: ['koffi'],
  // 3 MB less resident memory. Identifiers stay, for the stacks in the log.
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'linked',
  sourcemap: 'linked',
  banner: {
    js: "const require = process.getBuiltinModule('node:module').createRequire(import.meta.url);",
  },
  metafile: true,
  logLevel: 'warning',
  plugins,
} as const satisfies BuildOptions;
// A command loads what it needs, from many files. The daemon is one file, because it would load 75 of those.
const programs = await Promise.all(
  ['program', 'daemon'].map(out =>
    build({
      ...common,
      entryPoints: [{ in: 'src/main.ts', out }],
      splitting: out === 'program',
      plugins: [...plugins, apart],
    }),
  ),
);
const packagesBeside = Object.keys(packagesApart).map(async name => {
  const { outdir: _, ...options } = common;
  return await build({
    ...options,
    outfile: join(dist, `${toFileName(name)}.js`),
    stdin: { contents: toEntry(name), resolveDir: root },
  });
});
// Flat: the program finds a worker beside itself. Each worker is one file, which starts in 15 ms less than many.
const workers = await build({
  ...common,
  entryPoints: globSync('src/**/*worker.ts').map(path => ({ in: path, out: basename(path, '.ts') })),
});

writeFileSync(join(dist, 'main.js'), toLauncher(readFileSync('src/main.ts', 'utf8')), { mode: 0o755 });

// The packages of which the program has code, for its SBOM.
const built = [...programs, workers, ...(await Promise.all(packagesBeside))];
const outputs = built.flatMap(({ metafile }) => Object.values(metafile.outputs));
const inputs = outputs.flatMap(output => Object.keys(output.inputs));
const packages = inputs.flatMap(path => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? []);
writeFileSync(join(dist, 'packages.json'), JSON.stringify([...new Set(packages)].toSorted()));

// The program looks for its version in the nearest package.json.
const { name, version, license, type } = JSON.parse(readFileSync('package.json', 'utf8')) as Record<
  string,
  string
>;
writeFileSync(
  join(dist, 'package.json'),
  `${JSON.stringify({ name, version, license, type, private: true })}\n`,
);

function replace({ onResolve }: PluginBuild): void {
  onResolve({ filter: /^\./ }, ({ resolveDir, path }) =>
    join(resolveDir, path) === replaced && replacement !== undefined ? { path: replacement } : undefined,
  );
}
