import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { publishRequest, startDaemon, type TestDaemon, type TestNode, testNode } from '../node/daemon.ts';
import { type Shown, shownOf, verifyVolume } from '../node/volume.ts';
import { gzip, tarOf } from '../oci/tar.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../registry/faulty-registry.ts';
import { mountTmpfs } from './tmpfs.ts';

export type SmallVolume = {
  readonly request: Awaited<ReturnType<typeof publishRequest>>;
  readonly reference: string;
  readonly shown: Shown;
  /** The digest of its one layer. */
  readonly digest: string;
};

/** A daemon whose state directory is on a filesystem of its own, and a registry. */
export type SmallDisk = AsyncDisposable & {
  readonly registry: FaultyRegistry;
  readonly node: TestNode;
  readonly daemon: TestDaemon;
  /** The root of that filesystem, to which others may write too. */
  readonly root: string;
  /** A volume of a new artifact: one file of random bytes. */
  volume(bytes: number): Promise<SmallVolume>;
  /** A volume of a new artifact: one compressed tar. */
  tarVolume(files: readonly (readonly [path: string, bytes: Buffer])[]): Promise<SmallVolume>;
  publish(volume: SmallVolume): Promise<void>;
};

/** @param options of tmpfs(5): `size=24m`, `nr_inodes=200`. */
export async function openSmallDisk(
  options: string,
  flags: Readonly<Record<string, string>> = {},
): Promise<SmallDisk> {
  await using stack = new AsyncDisposableStack();
  const registry = stack.use(await openFaultyRegistry());
  const whole = stack.use(await testNode([registry.host]));
  const root = mountTmpfs(join(whole.path, 'disk'), options);
  const node: TestNode = { ...whole, stateDir: join(root, 'state') };
  const daemon = stack.use(await startDaemon(node, { flags }));
  let pushed = 0;

  async function push(
    layer: { readonly bytes: Buffer; readonly name?: string; readonly mediaType?: string },
    shown: Shown,
  ): Promise<SmallVolume> {
    const { reference, layers } = await registry.push(`artifact-${++pushed}`, 'v1', [layer]);
    const request = await publishRequest(node, { reference });
    return { request, reference, shown, digest: layers[0]?.digest ?? '' };
  }

  const resources = stack.move();
  return {
    registry,
    node,
    daemon,
    root,
    async volume(size) {
      const bytes = randomBytes(size);
      return push({ name: 'f', bytes }, shownOf([['f', bytes]]));
    },
    async tarVolume(files) {
      const bytes = gzip(await tarOf(files.map(([name, content]) => [{ name }, content])));
      return push({ bytes, mediaType: 'application/vnd.acme.layer.v1.tar+gzip' }, shownOf(files));
    },
    async publish({ request, shown }) {
      await daemon.csi.NodePublishVolume(request);
      verifyVolume(request.target_path, shown);
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}
