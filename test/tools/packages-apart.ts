import type { Plugin, PluginBuild } from 'esbuild';

/**
 * Packages that the programs take from files beside them, when what imports them is loaded: the daemon is one file,
 * most never load these, and reading it would take twice as long with them. With the names that are imported.
 */
export const packagesApart: Readonly<Record<string, readonly string[]>> = {
  '@kubernetes/client-node': ['KubeConfig'],
  re2js: ['RE2JS'],
  undici: ['Agent', 'buildConnector'],
  yaml: ['Document', 'LineCounter', 'isAlias', 'isMap', 'isScalar', 'isSeq', 'parseDocument', 'visit'],
};

export const toFileName = (name: string): string => name.replaceAll(/[^a-z0-9]+/g, '-').replace(/^-/, '');

/** The module of such a file. */
export const toEntry = (name: string): string => `export { ${namesOf(name)} } from '${name}';`;

export const apart: Plugin = { name: 'apart', setup };

const namespace = 'apart';

const namesOf = (name: string): string => packagesApart[name]?.join(', ') ?? '';

function setup({ onResolve, onLoad }: PluginBuild): void {
  onResolve({ filter: /^[@a-z]/ }, ({ path }) => (path in packagesApart ? { path, namespace } : undefined));
  onResolve({ filter: /^\.\//, namespace }, ({ path }) => ({ path, external: true }));
  // An import of another name fails the build.
  onLoad({ filter: /./, namespace }, ({ path }) => ({
    contents: `export const { ${namesOf(path)} } = require('./${toFileName(path)}.js');`,
  }));
}
