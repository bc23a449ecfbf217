import { afterEach } from 'node:test';

/** For the tests of one file: returns a function that takes what a test opens, and disposes it after that test. */
export function ownForEach(): <T extends AsyncDisposable>(resource: T) => T {
  const owned: AsyncDisposable[] = [];
  afterEach(async () => {
    for (const resource of owned.splice(0).toReversed()) await resource[Symbol.asyncDispose]();
  });
  return resource => {
    owned.push(resource);
    return resource;
  };
}
