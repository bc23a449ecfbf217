import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';
import type { Build, BuildKit, Context } from './buildkit.ts';
import type { Architecture } from './tree.ts';

const run = promisify(execFile);

export type Image = {
  /** A checkout after `npm ci`. */
  readonly source: string;
  readonly commit: Commit;
  readonly architectures: readonly Architecture[];
  readonly base: ImageSource;
};

/** A reference, or an image of an OCI layout. */
export type ImageSource = Exclude<Context, string> | { readonly reference: string };

/** The time of the commit in seconds is the time of everything in the image. */
export type Commit = { readonly revision: string; readonly epoch: number };

export async function readCommit(source: string): Promise<Commit> {
  const { stdout } = await run('git', ['log', '-1', '--format=%H %ct'], { cwd: source });
  const [revision = '', epoch = ''] = stdout.trim().split(' ');
  return { revision, epoch: Number(epoch) };
}

/**
 * Builds the image from the Dockerfile, and writes it as an OCI layout into a directory. The program comes from the
 * checkout, which gives the same bytes as buildImageInContainer, sooner.
 */
export async function buildImage(kit: BuildKit, image: Image, into: string): Promise<void> {
  const trees = mkdtempSync(join(tmpdir(), 'oac-trees-'));
  try {
    await run('npm', ['run', '--silent', 'build'], { cwd: image.source });
    const script = join(image.source, 'test/tools/image/tree.ts');
    const apps: Record<string, string> = {};
    for (const architecture of image.architectures) {
      const tree = join(trees, architecture);
      await run(process.execPath, [script, architecture, tree]);
      apps[`app::linux/${architecture}`] = tree;
    }
    // The stage that is not built has an image, too, which would be looked up.
    const build = describeBuild(image, { reference: 'scratch' });
    await kit.build({ ...build, contexts: { ...apps, ...build.contexts } }, into);
  } finally {
    rmSync(trees, { recursive: true, force: true });
  }
}

/** As buildImage, but with `npm ci` in a container of an image that has Node. `ca` is a file of certificates. */
export async function buildImageInContainer(
  kit: BuildKit,
  image: Image,
  builder: ImageSource,
  ca: string | undefined,
  into: string,
): Promise<void> {
  await kit.build(
    { ...describeBuild(image, builder), ...(ca === undefined ? {} : { secrets: { ca } }) },
    into,
  );
}

function describeBuild({ source, commit, architectures, base }: Image, builder: ImageSource): Build {
  const { version } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as { version: string };
  const images = { base, builder };
  const nameOf = (image: keyof typeof images): string =>
    'reference' in images[image] ? images[image].reference : image;
  return {
    source,
    platforms: architectures.map(architecture => `linux/${architecture}`),
    contexts: Object.fromEntries(
      Object.entries(images).flatMap(([name, image]) => ('reference' in image ? [] : [[name, image]])),
    ),
    arguments: {
      BASE_IMAGE: nameOf('base'),
      NODE_IMAGE: nameOf('builder'),
      SOURCE_DATE_EPOCH: String(commit.epoch),
    },
    labels: {
      'org.opencontainers.image.version': version,
      'org.opencontainers.image.revision': commit.revision,
      ...describeBase(base),
    },
  };
}

/** The labels that name the base, with which the image can be built again. */
function describeBase(base: ImageSource): Readonly<Record<string, string>> {
  const [name = '', digest] = 'reference' in base ? base.reference.split('@') : [];
  if (digest === undefined) return {};
  return { 'org.opencontainers.image.base.name': name, 'org.opencontainers.image.base.digest': digest };
}
