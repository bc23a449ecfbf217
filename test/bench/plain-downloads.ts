import type { DownloadSettings, Downloads } from '../../src/registry/download/downloads.ts';

/** For a build to compare with (CONTRIBUTING.md): undici receives every blob, in the main thread. */
export function openDownloads({ otherwise }: DownloadSettings): Downloads {
  return {
    send: otherwise,
    series: () => ({ isOpen: () => false, get: async () => [], [Symbol.dispose]() {} }),
    open: () => ({ send: otherwise, hash: async () => undefined, async [Symbol.asyncDispose]() {} }),
    async [Symbol.asyncDispose]() {},
  };
}
