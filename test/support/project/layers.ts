import { posix } from 'node:path';

/** Path of a file below src/ and its text. */
export type SourceFile = { readonly path: string; readonly text: string };

/**
 * An import as written: its specifier, whether it is an import() or a worker, loaded only when it is reached, and
 * whether it is removed when types are stripped.
 */
export type Import = { readonly specifier: string; readonly lazy: boolean; readonly types: boolean };

type Floors = readonly (readonly string[])[];

/** The layers, from the top. Imports point down; directories of one layer do not import each other. */
const floors: Floors = [
  ['main.ts'],
  ['daemon.ts'],
  ['takeover.ts', 'shutdown.ts', 'rejections.ts'],
  ['wiring.ts'],
  ['node.ts'],
  ['configuration.ts', 'prefetching.ts', 'pulling.ts'],
  ['optional-parts.ts'],
  ['grpc', 'cli', 'http'],
  ['volume'],
  ['registry', 'credentials', 'policy', 'prefetch', 'store', 'unpack', 'mount', 'kube'],
  ['configfile'],
  ['ports'],
  ['erofs'],
  ['tree'],
  ['oci'],
  ['linux'],
  ['util'],
];

/** The same inside a directory: `''` are its own files, the others its subdirectories. */
const rooms: Readonly<Record<string, Floors>> = {
  grpc: [[''], ['client'], ['containerd', 'dragonfly'], ['artifacts'], ['csi'], ['edge'], ['wire']],
  registry: [[''], ['mirrors'], ['dragonfly'], ['api'], ['auth'], ['config', 'download'], ['http']],
  store: [[''], ['late'], ['views', 'layers', 'blobs'], ['records', 'integrity'], ['files']],
};

/** Directories with one file that others may import, so that all behind it can be replaced. */
const doors: Readonly<Record<string, string>> = { 'registry/download': 'registry/download/downloads.ts' };

/** The interfaces between the layers. */
const ports = 'ports';

/** Packages that only compute. */
const pure: readonly string[] = ['node:buffer', 'node:crypto', 'node:path'];

/** What a directory may import beside src/; directories that are not listed may import anything. */
const outside: Readonly<Record<string, readonly string[]>> = {
  oci: pure,
  tree: pure,
  erofs: pure,
  volume: pure,
};

/** What the use cases may import of src/: no adapter. */
const inside: Readonly<Record<string, readonly string[]>> = { volume: ['ports', 'tree', 'oci', 'util'] };

/** Packages that are slow to load, and the only files that may import each. */
const heavy: Readonly<Record<string, readonly string[]>> = {
  '@kubernetes/client-node': ['kube/kubeconfig.ts'],
  undici: ['registry/http/undici-transport.ts'],
};

const statement = /^(?:import|export)\b(?:[^;'"]*?\bfrom)?\s*(['"])(?<specifier>[^'"\n]+)\1/gm;
/** Removed when types are stripped: only `import type`, whatever else an import names. */
const typeOnly = /^(?:import|export) type\b[^;]*;/gm;
const onDemand = /\b(?:import|new URL)\(\s*(['"])(?<specifier>[^'"\n]+)\1/g;
const comment = /^\s*(?:\/\/.*|\/\*[^]*?\*\/)/gm;

/**
 * Parses the imports of a file in our format (biome): a static import or export begins its line, so that no parser is
 * needed. Types count, as does `new URL('./worker.ts', import.meta.url)`.
 */
export function parseImports(text: string): readonly Import[] {
  const code = text.replace(comment, '');
  const find = (pattern: RegExp, lazy: boolean): readonly Import[] =>
    [...code.matchAll(pattern)].map(({ 0: text, groups }) => ({
      specifier: groups?.['specifier'] ?? '',
      lazy,
      types: /^(?:import|export) type\b/.test(text),
    }));
  return [
    ...find(statement, false),
    ...find(onDemand, true).filter(({ specifier }) => !specifier.includes('://')),
  ];
}

/** What threads may not load, and why, by import statement. */
const threadFaults: readonly (readonly [RegExp, string])[] = [
  [/\bfrom 'koffi'/, 'which loads native code'],
  [/\bfrom 'node:fs\/promises'/, 'which leaves work on files to the pool'],
];
/**
 * The asynchronous calls of node:fs, which use the pool: synchronous ones show it in their name, and constants do
 * nothing.
 */
const fsImport = /^import \{(?<names>[^}]*)\} from 'node:fs';/gm;
const fsHarmless = /^(?:type \w+|constants|\w+Sync)$/;

/** Lists what threads of the program would load against the rules: a message for each thread and file. */
export function findThreadFaults(files: readonly SourceFile[]): readonly string[] {
  const texts = new Map(
    files.map(({ path, text }) => [path, text.replace(comment, '').replace(typeOnly, '')]),
  );
  const threads = files.map(({ path }) => path).filter(path => path.endsWith('worker.ts'));
  return threads.flatMap(thread => {
    const loaded = new Set([thread]);
    for (const path of loaded)
      for (const { specifier } of parseImports(texts.get(path) ?? ''))
        if (specifier.startsWith('.')) loaded.add(resolve(path, specifier));
    return [...loaded].flatMap(path =>
      faultsOf(texts.get(path) ?? '').map(fault => `${thread} loads ${path}, ${fault}`),
    );
  });
}

function faultsOf(text: string): readonly string[] {
  const names = [...text.matchAll(fsImport)].flatMap(({ groups }) => (groups?.['names'] ?? '').split(','));
  const pooled = names.map(name => name.trim()).filter(name => name !== '' && !fsHarmless.test(name));
  return [
    ...threadFaults.filter(([pattern]) => pattern.test(text)).map(([, why]) => why),
    ...pooled.map(name => `which leaves work on files to the pool by ${name}`),
  ];
}

/** Lists every import that breaks a rule, a message each; cycles last. */
export function findViolations(files: readonly SourceFile[]): readonly string[] {
  const graph = new Map(files.map(({ path, text }) => [path, parseImports(text)]));
  const broken = [...graph].flatMap(([path, imports]) =>
    imports.flatMap(each => {
      const { specifier } = each;
      const why = explain(path, each);
      return why === undefined ? [] : [`${path} imports ${specifier}: ${why}`];
    }),
  );
  const values = files.filter(({ path, text }) => roomOf(path) === ports && /^export (?!type\b)/m.test(text));
  return [...broken, ...values.map(({ path }) => `${path} exports what is no type`), ...findCycles(graph)];
}

function explain(path: string, { specifier, lazy, types }: Import): string | undefined {
  const from = roomOf(path);
  if (from === ports && !types) return `${ports}/ has types only, and imports nothing else`;
  if (!specifier.startsWith('.')) {
    if (!lazy && !types && heavy[specifier]?.includes(path) === false)
      return 'only by import(), it is slow to load';
    const allowed = outside[from];
    if (allowed !== undefined && !allowed.includes(specifier)) return `${from}/ may import only what is pure`;
    return undefined;
  }
  if (specifier.endsWith('/package.json')) return undefined; // the version: data, of no layer
  if (!lazy && !types && Object.values(heavy).flat().includes(resolve(path, specifier))) {
    return 'only by import(), it is slow to load';
  }
  const target = resolve(path, specifier);
  const to = roomOf(target);
  const door = doors[posix.dirname(target)];
  if (door !== undefined && door !== target && posix.dirname(path) !== posix.dirname(target))
    return `only ${door} may be imported from outside`;
  if (to === from) return compare(innerRoomOf(path), innerRoomOf(target), rooms[from] ?? [], `${from}/`);
  if (inside[from]?.includes(to) === false) return `${from}/ knows adapters by their interfaces only`;
  const why = compare(from, to, floors, '');
  return why ?? (to === ports && !types ? `${ports}/ has types only: import type` : undefined);
}

/** Checks an import of `to` by `from` against these layers. `at` precedes their names. */
function compare(from: string, to: string, all: Floors, at: string): string | undefined {
  if (from === to || all.length === 0) return undefined;
  const floorOf = (room: string): number => all.findIndex(floor => floor.includes(room));
  const [above, below] = [floorOf(from), floorOf(to)];
  if (above === -1 || below === -1) return `no floor has ${at}${above === -1 ? from : to}`;
  if (above === below) return `${at}${from} and ${at}${to} are on one floor`;
  if (above > below) return `imports point down, and ${at}${to} is above ${at}${from}`;
  return undefined;
}

function roomOf(path: string): string {
  return path.split('/')[0] ?? '';
}

/** The subdirectory of a directory of src/; empty for a file directly in it. */
function innerRoomOf(path: string): string {
  const [, room = '', ...rest] = path.split('/');
  return rest.length === 0 ? '' : room;
}

function resolve(path: string, specifier: string): string {
  return posix.join(posix.dirname(path), specifier);
}

/** Each cycle once, as `a.ts -> b.ts -> a.ts`. */
function findCycles(graph: ReadonlyMap<string, readonly Import[]>): readonly string[] {
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start !== -1) cycles.push(`a cycle: ${[...trail.slice(start), path].join(' -> ')}`);
    if (start !== -1 || done.has(path)) return;
    for (const { specifier } of graph.get(path) ?? []) {
      if (specifier.startsWith('.')) visit(resolve(path, specifier), [...trail, path]);
    }
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  return cycles;
}
