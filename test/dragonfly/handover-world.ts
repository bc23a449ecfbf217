import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { globSync, statfsSync, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Child } from '../support/node/child.ts';
import {
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { mountDisk } from '../support/os/loop-disk.ts';
import { ownAddress } from '../support/os/port.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { type DfdaemonPlace, proxyPort, realScheduler, startDfdaemon } from './dfdaemon.ts';
import { openScheduler } from './scheduler.ts';

export const password = 'S3CRET';
const hosts = ['open', 'closed', 'slow'] as const;
type Host = (typeof hosts)[number];

/** A node with a filesystem for dfdaemon and the state directory, and the registries of its hosts.toml. */
export type HandoverWorld = AsyncDisposable & {
  readonly node: TestNode;
  /** The path of the filesystem. */
  readonly disk: string;
  readonly place: DfdaemonPlace;
  /** The address of dfdaemon's proxy. */
  readonly proxy: string;
  /** `closed` wants the user `robot`; `slow` is asked by a host whose response_timeout is 1 s. */
  readonly registries: Readonly<Record<Host, FaultyRegistry>>;
  startDaemon(flags: Readonly<Record<string, string>>): Promise<TestDaemon>;
  startDfdaemon(): Promise<Child>;
  push(name: string, size: number, host?: Host): Promise<PushedBlob>;
  /** Mounts an artifact. Returns the path of its file. */
  mount(reference: string, daemon: TestDaemon, secrets?: Readonly<Record<string, string>>): Promise<string>;
  /** Whether the driver asked the proxy of dfdaemon for a blob. */
  askedProxy(path: string, daemon: TestDaemon): boolean;
  /** Bytes of the filesystem that are used, after what was written is on it. */
  usedBytes(): number;
  /** The file of this size in dfdaemon's storage. */
  fileOf(bytes: number): string;
};

/** `path`: of its GETs at the registry. */
export type PushedBlob = {
  readonly reference: string;
  readonly bytes: Buffer;
  readonly path: string;
  asked(): FaultyRegistry['asked'];
  /** Bytes of it that the registry sent. */
  sent(): number;
};

/** @param dragonflyDir on the filesystem. */
export async function openHandoverWorld(
  type: 'ext4' | 'xfs',
  dragonflyDir = 'dragonfly/oci-artifact-csi',
): Promise<HandoverWorld> {
  await using stack = new AsyncDisposableStack();
  const registries = {
    open: stack.use(await openFaultyRegistry()),
    closed: stack.use(await openFaultyRegistry({ guard: { kind: 'basic', username: 'robot', password } })),
    slow: stack.use(await openFaultyRegistry()),
  };
  const node = stack.use(await testNode());
  const disk = stack.use(mountDisk(node.path, type)).path;
  const place = { socket: join(node.path, 'dfdaemon.sock'), storage: join(disk, 'dragonfly') };
  const proxy = ownAddress();
  const hostsDir = join(node.path, 'hosts');
  for (const name of hosts) {
    const registry = `http://${registries[name].host}`;
    const host = `host."http://${proxy}:${proxyPort}"`;
    const text = `server = "${registry}"
[${host}]
capabilities = ["pull"]
dial_timeout = "1s"
response_timeout = "${name === 'slow' ? 1 : 30}s"
[${host}.header]
X-Dragonfly-Registry = "${registry}"
`;
    await mkdir(join(hostsDir, `${name}.test`), { recursive: true });
    await writeFile(join(hostsDir, `${name}.test/hosts.toml`), text);
  }
  const resources = stack.move();
  return {
    node,
    disk,
    place,
    proxy,
    registries,
    startDaemon: flags =>
      startDaemon(node, {
        flags: {
          '--hosts-dir': hostsDir,
          '--dragonfly-socket': place.socket,
          '--dragonfly-dir': join(disk, dragonflyDir),
          ...flags,
        },
      }),
    async startDfdaemon() {
      await using started = new AsyncDisposableStack();
      const scheduler = realScheduler ?? started.use(await openScheduler()).address;
      const child = started.use(await startDfdaemon(proxy, scheduler, '10s', place));
      const both = started.move();
      return { ...child, [Symbol.asyncDispose]: () => both.disposeAsync() };
    },
    async push(name, size, host = 'open') {
      const registry = registries[host];
      const bytes = randomBytes(size);
      const { layers } = await registry.push(`team/${name}`, 'v1', [{ name: 'model.bin', bytes }]);
      const [layer] = layers;
      assert.ok(layer !== undefined);
      const path = `/v2/team/${name}/blobs/${layer.digest}`;
      return {
        reference: `${host}.test/team/${name}:v1`,
        bytes,
        path,
        asked: () =>
          registry.asked.filter(({ method, path: one }) => method === 'GET' && one.startsWith(path)),
        sent: () => registry.sent(path) + registry.sent(`${path}?ns=${host}.test`),
      };
    },
    async mount(reference, daemon, secrets = {}) {
      const request = await publishRequest(node, { reference }, secrets);
      await daemon.csi.NodePublishVolume(request);
      return join(request.target_path, 'model.bin');
    },
    askedProxy: (path, daemon) =>
      daemon
        .output()
        .split('\n')
        .some(line => line.includes(`"host":"${proxy}:${proxyPort}"`) && line.includes(path)),
    usedBytes() {
      execFileSync('sync', ['-f', disk]);
      const { blocks, bfree, bsize } = statfsSync(disk);
      return (blocks - bfree) * bsize;
    },
    fileOf(bytes) {
      const files = globSync(join(place.storage, 'content/**')).filter(path => statSync(path).size === bytes);
      assert.equal(files.length, 1);
      return files[0] ?? '';
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** Where a range that is not the first piece begins, as dfdaemon asks for it. The driver asks without an end. */
export function isLaterPiece(range: string | undefined, pieceBytes: number): boolean {
  return Number(/^bytes=(\d+)-\d+$/.exec(range ?? '')?.[1] ?? 0) >= pieceBytes;
}

/** The bytes that the pulls under way have. */
export async function pulledBytes(daemon: TestDaemon): Promise<number> {
  const { pulls } = await daemon.artifacts.ListPulls({});
  return pulls.reduce((sum, { progress }) => sum + (progress?.bytes ?? 0), 0);
}
