import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A small ext4 filesystem without blocks that are reserved for root. */
export type FullDisk = {
  readonly path: string;
  /** Takes all that is left. */
  fill(what: 'blocks' | 'inodes'): void;
  /** Gives it back. */
  release(): void;
};

/** @param directory below a temporaryDirectory(), whose disposal unmounts it. */
export function mountFullDisk(directory: string): FullDisk {
  const [path, image] = [join(directory, 'disk'), join(directory, 'image')];
  mkdirSync(path);
  writeFileSync(image, '');
  truncateSync(image, 32 * 1024 * 1024);
  execFileSync('mkfs.ext4', ['-q', '-m', '0', '-N', '1024', '-E', 'nodiscard,lazy_itable_init=0', image]);
  execFileSync('mount', ['-o', 'loop', image, path]);
  const filler = join(path, 'filler');
  const fillBlocks = (): void => {
    mkdirSync(filler);
    for (const size of [1024 * 1024, 4096, 1])
      repeatUntilFull(() => appendFileSync(join(filler, 'bytes'), Buffer.alloc(size)));
  };
  const fillInodes = (): void => {
    mkdirSync(filler);
    let made = 0;
    repeatUntilFull(() => writeFileSync(join(filler, String(++made)), ''));
  };
  return {
    path,
    fill: what => (what === 'blocks' ? fillBlocks() : fillInodes()),
    release: () => rmSync(filler, { recursive: true }),
  };
}

function repeatUntilFull(step: () => void): void {
  try {
    for (;;) step();
  } catch {
    // that was the last one
  }
}
