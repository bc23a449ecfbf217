import { execFileSync } from 'node:child_process';
import { parseAllDocuments } from 'yaml';
import { toolPath } from '../project/tools.ts';

/** An object of the Kubernetes API, as a manifest has it. */
export type Manifest = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
};

export function parseManifests(text: string): readonly Manifest[] {
  return parseAllDocuments(text)
    .map(document => document.toJS() as Manifest | null)
    .filter(manifest => manifest !== null);
}

/** The only object of a kind. @throws Error if there is none, or another. */
export function theOnly(manifests: readonly Manifest[], kind: string): Manifest {
  const [found, ...others] = manifests.filter(manifest => manifest.kind === kind);
  if (found === undefined || others.length > 0)
    throw new Error(`${others.length + Number(found !== undefined)} objects are a ${kind}`);
  return found;
}

/** Verifies manifests with kubeconform. @throws Error with each field that a schema does not have or allow. */
export function verifyManifests(text: string, schemas: readonly string[]): void {
  const locations = schemas.flatMap(directory => [
    '-schema-location',
    `${directory}/{{.ResourceKind}}{{.KindSuffix}}.json`,
  ]);
  try {
    execFileSync(toolPath('kubeconform'), ['-strict', ...locations, '-'], {
      input: text,
      encoding: 'utf8',
      stdio: 'pipe',
    });
  } catch (error) {
    throw new Error((error as { stdout: string }).stdout, { cause: error });
  }
}
