import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { pino } from 'pino';
import { toSettings } from '../../src/cli/command-line.ts';
import { isImageName } from '../../src/erofs/image.ts';
import type { Node } from '../../src/node.ts';
import type { PublishRequest, Selection } from '../../src/ports/request.ts';
import type { Finding } from '../../src/ports/usecases.ts';
import { openNode } from '../../src/wiring.ts';
import { type TestNode, testNode } from '../support/node/daemon.ts';
import { damages } from '../support/node/damages.ts';
import { gzip, tarOf } from '../support/oci/tar.ts';
import { openRandom } from '../support/os/random.ts';
import { needs } from '../support/project/tools.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';

const never = new AbortController().signal;

type Step =
  | {
      readonly kind: 'damage';
      readonly what: string;
      readonly directory: string;
      readonly spots: readonly number[];
    }
  | { readonly kind: 'publish'; readonly volume: number; readonly request: number }
  | { readonly kind: 'unpublish'; readonly volume: number }
  | { readonly kind: 'fsck' | 'repair' | 'scrub' | 'restart' | 'kill' };

const volumes = fc.nat(1);
const spot = fc.double({ min: 0, max: 0.999, noNaN: true });
const toSteps = ({ layers }: Maker): fc.Arbitrary<Step> =>
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('damage'),
        what: fc.constantFrom(...Object.keys(damages)),
        directory: fc.constantFrom('blobs/sha256', layers, 'views'),
        spots: fc.tuple(spot, spot, spot),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant('publish'), volume: volumes, request: fc.nat(3) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('unpublish'), volume: volumes }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constantFrom('fsck', 'repair', 'scrub', 'restart', 'kill') }),
    },
  );

/** The kind of views, where the bytes of their layers are, and what is asked for: artifacts that share content. */
type Maker = {
  readonly views: 'trees' | undefined;
  readonly layers: string;
  readonly requests: readonly (readonly [tag: string, selection: Partial<Selection>])[];
};

const makers: Readonly<Record<string, Maker>> = {
  'trees of hard links': {
    views: 'trees',
    layers: 'layers/bodies/sha256',
    requests: [
      ['files', {}],
      ['files', { subPath: 'd' }],
      ['tar', {}],
      ['tar', { exclude: ['text'] }],
    ],
  },
  images: {
    views: undefined,
    layers: 'layers/tar/sha256',
    requests: [
      ['tars', {}],
      ['tars', { subPath: 'd' }],
      ['one', {}],
      ['files', {}],
    ],
  },
};

async function pushAll(registry: FaultyRegistry): Promise<void> {
  const text = { name: 'text', bytes: Buffer.from('a text that both have') };
  const large = Buffer.alloc(300_000, 'large');
  await registry.push('damaged', 'files', [
    text,
    { name: 'd/large', bytes: large },
    { name: 'd/small', bytes: Buffer.from('small') },
  ]);
  const tar = await tarOf([
    [{ name: 'd', type: 'directory', mode: 0o750, uid: 7 }],
    [{ name: 'd/model', mode: 0o640 }, 'model'],
    [{ name: 'd/e/run', mode: 0o755, uid: 7, gid: 9 }, 'a program'],
    [{ name: 'd/large' }, large],
    [{ name: 'link', type: 'symlink', linkname: 'd/model' }],
  ]);
  const mediaType = 'application/vnd.acme.layer.v1.tar+gzip';
  const layer = { bytes: gzip(tar), mediaType };
  const upper = await tarOf([
    [{ name: 'd/small' }, 'small'],
    [{ name: 'd/model' }, 'another model'],
  ]);
  await registry.push('damaged', 'tar', [text, layer]);
  await registry.push('damaged', 'tars', [layer, { bytes: gzip(upper), mediaType }]);
  await registry.push('damaged', 'one', [layer]);
}

/** A damaged image has files that cannot be read. */
function hashOf(path: string): string {
  try {
    return createHash('sha256').update(readFileSync(path)).digest('hex');
  } catch {
    return 'unreadable';
  }
}

/** What a pod sees of an entry, times aside. */
function describe(path: string): string {
  if (statSync(dirname(path), { throwIfNoEntry: false })?.isDirectory() !== true) return 'nothing';
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return 'nothing';
  const owner = `${stats.uid}:${stats.gid}`;
  if (stats.isSymbolicLink()) return `symlink to ${readlinkSync(path)} of ${owner}`;
  const kept = `${(stats.mode & 0o7777).toString(8)} of ${owner}`;
  if (stats.isFile()) return `file ${kept}: ${hashOf(path)}`;
  return `${stats.isDirectory() ? 'directory' : 'other'} ${kept}`;
}

type Tree = Readonly<Record<string, string>>;

function readTree(root: string): Tree {
  const names = ['.', ...(readdirSync(root, { recursive: true }) as string[]).toSorted()];
  return Object.fromEntries(names.map(name => [name, describe(join(root, name))]));
}

/** The entries of a directory in the state directory, without following links to other places. */
function entriesBelow(directory: string): readonly string[] {
  return (readdirSync(directory, { recursive: true }) as string[])
    .filter(name => !/^[^/]*\.(?:json|shape)/.test(name))
    .toSorted()
    .map(name => join(directory, name));
}

/** As after a power cut: nothing says that the last life ended well. */
function cutLastLine(journal: string): void {
  const text = readFileSync(journal, 'latin1');
  writeFileSync(journal, text.slice(0, text.lastIndexOf('\n', text.length - 2) + 1));
}

async function openTrial(node: TestNode, registry: FaultyRegistry, { layers: inLayers, requests }: Maker) {
  const settings = toSettings(
    {
      stateDir: node.stateDir,
      kubeletDir: node.kubeletDir,
      cacheHigh: '100',
      cacheLow: '100',
      diskMax: '100',
    },
    {
      OCI_ARTIFACT_REGISTRIES_CONF: node.registriesConf,
      OCI_ARTIFACT_REGISTRIES_CONF_DIR: node.registriesConfDir,
    },
  );
  let counted = 0;
  const meter = { bytesPulled() {}, damageFound: () => void counted++, pullEnded() {} };
  const open = (scrubInterval = settings.scrubInterval): Promise<Node> =>
    openNode({ ...settings, scrubInterval }, pino({ level: 'silent' }), meter);
  let useCases = await open();
  const below = (...names: readonly string[]): string => join(node.stateDir, ...names);
  const outside = join(node.path, 'outside');
  mkdirSync(outside);
  let made = 0;
  const published = new Map<number, number>();

  const pathOf = (volume: number): string =>
    join(node.kubeletDir, `pods/${volume}/volumes/kubernetes.io~csi/v/mount`);
  const publish = async (volume: number, request: number): Promise<string> => {
    const [tag, selection] = requests[request] ?? assert.fail();
    mkdirSync(dirname(pathOf(volume)), { recursive: true });
    const asked: PublishRequest = {
      reference: `${registry.host}/damaged:${tag}`,
      selection: { unpack: 'auto', include: [], exclude: [], ...selection },
      secrets: {},
      caller: 'administrator',
      volumeId: `csi-${volume}`,
      targetPath: pathOf(volume),
      anywhere: false,
      mountFlags: [],
      fingerprint: '',
    };
    const { view } = await useCases.publishing.publish(asked, never);
    published.set(volume, request);
    return view;
  };
  const unpublish = async (volume: number): Promise<void> => {
    await useCases.publishing.unpublish({ path: pathOf(volume), anywhere: false }, never);
    published.delete(volume);
  };

  // What is right.
  const trees: Tree[] = [];
  const keys: string[] = [];
  for (const request of requests.keys()) {
    keys.push(await publish(0, request));
    trees.push(readTree(pathOf(0)));
    await unpublish(0);
  }
  /** What the directory of an image must be, and the image in it. */
  const images = new Map(
    keys
      .filter(key => existsSync(below('views', `${key}.erofs`)))
      .map(key => [key, Object.values(readTree(below('views', `${key}.erofs`)))]),
  );
  assert.equal(images.size, requests.filter(([tag]) => tag.startsWith('tars') || tag === 'one').length);
  const bodies = new Map(
    readdirSync(below(inLayers)).map(hex => [
      hex,
      Object.entries(readTree(below(inLayers, hex))).filter(([, text]) => text.startsWith('file')),
    ]),
  );

  /** Of a table only the bytes count. */
  const isRight = (hex: string, [name, text]: readonly [string, string]): boolean => {
    const found = describe(below(inLayers, hex, name));
    return name === 'toc' ? found.slice(-66) === text.slice(-66) : found === text;
  };
  const wrongBlobs = (): readonly string[] =>
    readdirSync(below('blobs/sha256')).filter(
      hex => /^[0-9a-f]{64}$/.test(hex) && describe(below('blobs/sha256', hex)) !== `file 644 of 0:0: ${hex}`,
    );
  const wrongLayers = (): readonly string[] =>
    [...bodies]
      .filter(([hex]) => statSync(below(inLayers, hex), { throwIfNoEntry: false }) !== undefined)
      .filter(([hex, files]) => !files.every(file => isRight(hex, file)))
      .map(([hex]) => hex);
  const placeOf = (key: string): string => below('views', images.has(key) ? `${key}.erofs` : key);
  const imageOf = (key: string): string | undefined => readdirSync(placeOf(key)).find(isImageName);
  /** An image that lacks its file is no view. */
  const viewsThere = (): readonly string[] =>
    keys.filter(key => {
      if (lstatSync(placeOf(key), { throwIfNoEntry: false })?.isDirectory() !== true) return false;
      return !images.has(key) || existsSync(join(placeOf(key), imageOf(key) ?? '.absent'));
    });
  const inodeOf = (hex: string): number | undefined =>
    lstatSync(below('blobs/sha256', hex), { throwIfNoEntry: false })?.ino;
  /** What of a view is wrong for another reason than that the blob is wrong that it must be. */
  const faultsOf = (key: string): readonly string[] => {
    const found = readTree(placeOf(key));
    const image = images.get(key);
    if (image !== undefined) {
      const is = Object.values(found);
      return is.join() === image.join() ? [] : is;
    }
    const wanted = trees[keys.indexOf(key)] ?? {};
    return Object.keys({ ...wanted, ...found }).filter(name => {
      const stats = lstatSync(join(placeOf(key), name), { throwIfNoEntry: false });
      const isItsBlob = stats?.isFile() === true && stats.ino === inodeOf(wanted[name]?.slice(-64) ?? '');
      return found[name] !== wanted[name] && !isItsBlob;
    });
  };
  /** Whether a view shows what is wrong of its blobs. */
  const showsWrong = (key: string): boolean => {
    const { blobs } = partsOf(key);
    const wrong = new Set(
      wrongBlobs()
        .filter(hex => blobs.includes(hex))
        .map(inodeOf),
    );
    return Object.keys(readTree(placeOf(key))).some(name =>
      wrong.has(lstatSync(join(placeOf(key), name)).ino),
    );
  };
  const partsOf = (key: string) => {
    const record = JSON.parse(readFileSync(below('views', `${key}.json`), 'utf8')) as {
      layers: string[];
      blobs: string[];
      manifest: string;
    };
    const hexes = (digests: readonly string[]): readonly string[] => digests.map(digest => digest.slice(7));
    return {
      manifest: record.manifest.slice(7),
      blobs: hexes(record.blobs),
      layers: hexes(record.layers),
    };
  };
  /** Whether the cache says of a view what it must be. */
  const isKnown = (key: string): boolean => {
    const { manifest, layers } = partsOf(key);
    return (
      (images.has(key) || existsSync(below('blobs/sha256', manifest))) &&
      layers.every(hex => existsSync(below(inLayers, hex))) &&
      ![manifest, ...layers].some(hex => [...wrongBlobs(), ...wrongLayers()].includes(hex))
    );
  };

  const wrongImages = (): readonly string[] =>
    viewsThere().filter(key => images.has(key) && isKnown(key) && faultsOf(key).length > 0);

  const damage = (
    what: string,
    directory: string,
    [first = 0, second = 0, at = 0]: readonly number[],
  ): void => {
    const there = entriesBelow(below(directory));
    const path = there[Math.floor(first * there.length)];
    const other = there[Math.floor(second * there.length)];
    if (path === undefined || other === undefined) return;
    // The owner of a filesystem's root decides whom it treats as root.
    if (what === 'another owner' && dirname(path) === below(inLayers)) return;
    damages[what]?.({ path, other, outside: join(outside, String(made++)) }, at);
  };

  const fsck = async (repair: boolean): Promise<readonly Finding[]> => {
    const findings: Finding[] = [];
    await useCases.artifacts.fsck(repair, finding => void findings.push(finding), never);
    return findings;
  };
  /** Roots that lack something, and what is left to volumes, aside. */
  const pathsOf = (findings: readonly Finding[]): readonly string[] =>
    findings
      .map(({ path }) => path)
      .filter(path => path.startsWith(node.stateDir) && !/views\/[0-9a-f]{64}-[^/]*$/.test(path))
      .toSorted();
  /** With a repair, views that show wrong blobs are gone before they are compared. */
  const wrongThings = (repair: boolean): readonly string[] => {
    const views = viewsThere().filter(
      key => isKnown(key) && faultsOf(key).length > 0 && !(repair && showsWrong(key)),
    );
    return [
      ...wrongBlobs().map(hex => below('blobs/sha256', hex)),
      ...wrongLayers().map(hex => below(inLayers, hex)),
      ...views.map(placeOf),
    ].toSorted();
  };

  const restart = async (between = (): void => {}, scrubInterval = settings.scrubInterval): Promise<void> => {
    await useCases.close();
    between();
    useCases = await open(scrubInterval);
  };

  const verifyShown = (volume: number): void => {
    const request = published.get(volume) ?? assert.fail();
    assert.deepEqual(readTree(pathOf(volume)), trees[request]);
  };
  const isShownRight = (volume: number): boolean => {
    const tree = trees[published.get(volume) ?? -1];
    try {
      return JSON.stringify(readTree(pathOf(volume))) === JSON.stringify(tree);
    } catch {
      return false; // of a damaged image, the kernel refuses directories too
    }
  };

  const perform = async (step: Step): Promise<void> => {
    switch (step.kind) {
      case 'damage':
        return damage(step.what, step.directory, step.spots);
      case 'publish': {
        await unpublish(step.volume);
        await publish(step.volume, step.request);
        return verifyShown(step.volume);
      }
      case 'unpublish':
        return unpublish(step.volume);
      case 'restart':
        return restart();
      case 'kill':
        return restart(() => cutLastLine(below('verified')));
      case 'scrub': {
        const before = counted;
        const wrong = wrongBlobs().length + wrongLayers().length;
        const isWrong = (): boolean => wrongBlobs().length + wrongLayers().length + wrongImages().length > 0;
        await restart(() => {}, 10);
        useCases.startWork();
        for (const end = Date.now() + 10_000; isWrong(); await sleep(5))
          assert.ok(Date.now() < end, 'the scrub finds all that is wrong');
        await restart();
        assert.ok(counted - before >= wrong, 'the metric counts each');
        return;
      }
      case 'fsck':
        assert.deepEqual(pathsOf(await fsck(false)), wrongThings(false));
        return;
      case 'repair': {
        const wrong = wrongThings(true);
        const known = new Set(viewsThere().filter(isKnown));
        const before = counted;
        const untouched = readTree(outside);
        assert.deepEqual(pathsOf(await fsck(true)), wrong);
        assert.deepEqual(readTree(outside), untouched);
        assert.equal(counted - before, wrong.length, 'the metric counts each');
        assert.deepEqual(pathsOf(await fsck(false)), []);
        const named = await useCases.artifacts.volumes();
        for (const volume of published.keys())
          if (!isShownRight(volume) && known.has(keys[published.get(volume) ?? -1] ?? ''))
            assert.ok(
              named.find(({ targetPath }) => targetPath === pathOf(volume))?.damaged,
              `volume ${volume} is named`,
            );
        return;
      }
    }
  };
  return {
    perform,
    async close() {
      for (const volume of published.keys()) await unpublish(volume);
      await useCases.close();
    },
  };
}

/** Milliseconds. */
const longest = 4_000;

for (const [kind, maker] of Object.entries(makers)) {
  test(
    `after any damage to a cache with ${kind}, new volumes are right, and fsck finds all damage and the volumes that show it`,
    needs('root'),
    async t => {
      const { seed } = openRandom();
      t.diagnostic(`seed ${seed}`);
      await using registry = await openFaultyRegistry();
      await pushAll(registry);
      const ending: readonly Step[] = [
        { kind: 'repair' },
        ...maker.requests.keys().map(request => ({ kind: 'publish', volume: 0, request }) as const),
      ];
      let runs = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(toSteps(maker), { minLength: 3, maxLength: 12 }), async sequence => {
          await using node = await testNode([registry.host], { views: maker.views });
          const trial = await openTrial(node, registry, maker);
          for (const step of [...sequence, ...ending]) await trial.perform(step);
          await trial.close();
          runs++;
        }),
        { seed, endOnFailure: true, numRuns: 1_000, interruptAfterTimeLimit: longest },
      );
      t.diagnostic(`${runs} sequences`);
    },
  );
}
