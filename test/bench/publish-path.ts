import { dirname } from 'node:path';
import { measurePublishPaths } from '../support/project/publish-path.ts';

/**
 * `npm run publish-path`: prints the files of the program that a publish executes, by directory, and the functions from
 * the call to the socket. `measurePublishPaths` says what counts.
 */

const { paths, frames } = await measurePublishPaths();
for (const { what, files } of paths) {
  console.log(`${what}: ${files.length} files`);
  const rooms = Map.groupBy(files, path => dirname(path));
  for (const [room, inside] of rooms)
    console.log(`  ${String(inside.length).padStart(3)} ${room}: ${inside.map(nameOf).join(' ')}`);
}
console.log(`from the call to the socket: ${frames.length} frames`);
for (const { path, name, line } of frames.toReversed()) console.log(`  ${path}:${line} ${name}`);

function nameOf(path: string): string {
  return path.replace(/^.*\//, '').replace(/\.ts$/, '');
}
