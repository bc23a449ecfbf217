import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

/** A Go module that has definitions of API objects, and its checksum as go.sum has it. */
type SchemaModule = { readonly path: string; readonly version: string; readonly sum: string };

const kubernetes: readonly SchemaModule[] = [
  {
    path: 'k8s.io/kubernetes',
    version: 'v1.26.15',
    sum: 'h1:o65B3kKH7q9xK2h2323rKKThI1rp3ZarXpb8asT932U=',
  },
  {
    path: 'k8s.io/kubernetes',
    version: 'v1.37.2',
    sum: 'h1:A2VDEiObzkYqFTKhSsn0ZEb0RlLEXpHWj93gi2HqEwE=',
  },
];

/** The Kubernetes versions that the chart is tested for: the oldest that it supports, and the newest that there is. */
export const kubernetesVersions: readonly string[] = kubernetes.map(({ version }) => version.slice(1));

/** Modules of operators, and the files of their definitions. */
const operators: readonly (SchemaModule & { readonly files: readonly string[] })[] = [
  {
    path: 'github.com/prometheus-operator/prometheus-operator',
    version: 'v0.85.0',
    sum: 'h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=',
    files: ['podmonitors', 'prometheusrules'].map(
      name => `example/prometheus-operator-crd/monitoring.coreos.com_${name}.yaml`,
    ),
  },
  {
    path: 'github.com/kserve/kserve',
    version: 'v0.15.0',
    sum: 'h1:TK6lN8XVIzc/5KQ76GULEKYiJ2obkTRRI3Z2Iwuld5Y=',
    files: ['config/crd/full/serving.kserve.io_inferenceservices.yaml'],
  },
  {
    path: 'github.com/fluxcd/source-controller',
    version: 'v1.9.6',
    sum: 'h1:nG534/bI6nVpyHra7ONAk6xDB3xPsVT+EOLHZHXPrrc=',
    files: ['config/crd/bases/source.toolkit.fluxcd.io_ocirepositories.yaml'],
  },
  {
    path: 'github.com/argoproj/argo-cd/v3',
    version: 'v3.5.7',
    sum: 'h1:Xm1BF+I5OgDKUG3SDK49vn2/Y5AMyaNVko+/JT08gj0=',
    files: ['manifests/crds/application-crd.yaml'],
  },
];

const cache = fileURLToPath(new URL('../../../.tools/schemas', import.meta.url));

/** JSON schema, as far as this file changes it. */
type Schema = { [key: string]: unknown };

/**
 * A directory of the schemas of all objects of a Kubernetes version, for kubeconform: made from its OpenAPI document,
 * with every object closed, so that a misspelt field is an error.
 */
export function kubernetesSchemas(version: string): string {
  const module = kubernetes.find(listed => listed.version === `v${version}`);
  if (module === undefined) throw new Error(`no schemas of Kubernetes ${version} are known`);
  return cached(`kubernetes-${version}`, write => {
    const text = readFileSync(join(download(module), 'api/openapi-spec/swagger.json'), 'utf8');
    const { definitions } = JSON.parse(text) as { definitions: Record<string, Schema> };
    for (const [name, definition] of Object.entries(definitions)) {
      close(definition);
      // A string in this document, and a string or number in YAML.
      if (/IntOrString$|Quantity$/.test(name)) definitions[name] = { type: ['string', 'number'] };
    }
    for (const [name, definition] of Object.entries(definitions)) {
      const kinds = (definition['x-kubernetes-group-version-kind'] ?? []) as readonly GroupVersionKind[];
      if (definition['properties'] === undefined || !('metadata' in (definition['properties'] as Schema)))
        continue;
      for (const kind of kinds)
        write(kind, { $ref: `#/definitions/${name}`, definitions: reachable(definitions, name) });
    }
  });
}

/** A directory of the schemas of the objects of operators that the chart and the examples have. */
export function operatorSchemas(): string {
  return cached('operators', write => {
    for (const module of operators)
      for (const file of module.files)
        writeDefinition(parse(readFileSync(join(download(module), file), 'utf8')), write);
  });
}

/** A directory of the schemas of these definitions of custom resources. */
export function customSchemas(definitions: readonly unknown[]): string {
  const hash = createHash('sha256').update(JSON.stringify(definitions)).digest('hex').slice(0, 12);
  return cached(`custom-${hash}`, write => {
    for (const definition of definitions) writeDefinition(structuredClone(definition), write);
  });
}

function writeDefinition(definition: unknown, write: (kind: GroupVersionKind, schema: Schema) => void): void {
  const { spec } = definition as CustomResourceDefinition;
  for (const { name: version, schema } of spec.versions) {
    const { openAPIV3Schema } = schema;
    close(openAPIV3Schema);
    // The API server itself defines the fields of metadata.
    openAPIV3Schema['properties'] = { ...(openAPIV3Schema['properties'] as Schema), metadata: {} };
    write({ group: spec.group, version, kind: spec.names.kind }, openAPIV3Schema);
  }
}

type CustomResourceDefinition = {
  readonly spec: {
    readonly group: string;
    readonly names: { readonly kind: string };
    readonly versions: readonly { readonly name: string; readonly schema: { openAPIV3Schema: Schema } }[];
  };
};

type GroupVersionKind = { readonly group: string; readonly version: string; readonly kind: string };

/** Makes each object in a schema refuse the fields that it does not list. */
function close(schema: unknown): void {
  if (typeof schema !== 'object' || schema === null) return;
  const known = schema as Schema;
  const open = known['additionalProperties'] !== undefined || known['x-kubernetes-preserve-unknown-fields'];
  if (typeof known['properties'] === 'object' && open === undefined) known['additionalProperties'] = false;
  for (const value of Object.values(known)) close(value);
}

function reachable(definitions: Readonly<Record<string, Schema>>, from: string): Record<string, Schema> {
  const found: Record<string, Schema> = {};
  const visit = (name: string): void => {
    const definition = definitions[name];
    if (definition === undefined || found[name] !== undefined) return;
    found[name] = definition;
    for (const [, next = ''] of JSON.stringify(definition).matchAll(/"#\/definitions\/([^"]+)"/g))
      visit(next);
  };
  visit(from);
  return found;
}

/** Fills a directory of the cache once; one that was interrupted, or filled by another version of this file, again. */
function cached(
  name: string,
  fill: (write: (kind: GroupVersionKind, schema: Schema) => void) => void,
): string {
  const version = createHash('sha256')
    .update(readFileSync(import.meta.filename))
    .digest('hex')
    .slice(0, 12);
  const directory = join(cache, version, name);
  if (existsSync(directory)) return directory;
  const aside = `${directory}.${process.pid}`;
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside, { recursive: true });
  fill(({ kind, group, version }, schema) => {
    const prefix = group === '' ? '' : `${group.split('.')[0]}-`;
    writeFileSync(join(aside, `${kind.toLowerCase()}-${prefix}${version}.json`), JSON.stringify(schema));
  });
  try {
    renameSync(aside, directory);
  } catch (error) {
    if (!existsSync(directory)) throw error; // another process was faster
    rmSync(aside, { recursive: true });
  }
  return directory;
}

/** The directory of a module in Go's cache. @throws Error if its checksum is another. */
function download({ path, version, sum }: SchemaModule): string {
  const answer = execFileSync('go', ['mod', 'download', '-json', `${path}@${version}`], { encoding: 'utf8' });
  const { Dir, Sum } = JSON.parse(answer) as { Dir: string; Sum: string };
  if (Sum !== sum) throw new Error(`${path}@${version} has the checksum ${Sum}, and should have ${sum}`);
  return Dir;
}
