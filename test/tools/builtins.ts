import { isBuiltin } from 'node:module';
import process from 'node:process';
import type { Plugin, PluginBuild } from 'esbuild';

/**
 * Takes Node's own modules from `process.getBuiltinModule`. An import of one reads each of its exports, and so loads what
 * nothing uses: `node:http` alone brings fetch and WebSocket, a quarter of the CPU time of the daemon's start.
 */
export const builtins: Plugin = { name: 'builtins', setup };

const namespace = 'builtin';

/** Modules of functions, which are loaded by the first call of one. TLS is 8 ms and 3 MB of each thread. */
const late = new Set(['node:tls']);

function setup({ onResolve, onLoad }: PluginBuild): void {
  onResolve({ filter: /^[a-z]/ }, ({ path, kind }) => {
    const isImport = kind === 'import-statement' || kind === 'dynamic-import';
    return isImport && isBuiltin(path) ? { path: path.replace(/^node:/, ''), namespace } : undefined;
  });
  onLoad({ filter: /./, namespace }, ({ path }) => ({ contents: toModule(`node:${path}`) }));
}

/** A module with the same exports. Those that nothing imports are left out of the bundle. */
function toModule(name: string): string {
  const names = Object.keys(process.getBuiltinModule(name) ?? {}).filter(key => /^[A-Za-z_]\w*$/.test(key));
  const toValue = (key: string): string =>
    late.has(name) ? `(...args) => load().${key}(...args)` : `/* @__PURE__ */ (() => all.${key})()`;
  const exported = names
    .filter(key => key !== 'default')
    .map(key => `const own_${key} = ${toValue(key)};\nexport { own_${key} as ${key} };`);
  return `const load = () => process.getBuiltinModule(${JSON.stringify(name)});
const all = /* @__PURE__ */ load();
export default all;
${exported.join('\n')}
`;
}
