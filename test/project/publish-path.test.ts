import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measurePublishPaths } from '../support/project/publish-path.ts';
import { needs } from '../support/project/tools.ts';

test(
  'a publish executes few files, and few functions wait from the call to the socket',
  needs('root'),
  async () => {
    const most: Readonly<Record<string, number>> = {
      'cold, file layers': 116,
      'from the cache': 64,
      'cold, one tar+gzip layer': 135,
    };
    let { paths, frames } = await measurePublishPaths();
    const isAbove = (): boolean => paths.some(({ what, files }) => files.length > (most[what] ?? 0));
    // A timer may run meanwhile, which only adds files: those count that every run has.
    for (let again = 0; again < 3 && isAbove(); again++) {
      const measured = await measurePublishPaths();
      frames = measured.frames;
      paths = paths.map((path, at) => {
        const other = measured.paths[at]?.files ?? [];
        return { ...path, files: path.files.filter(file => other.includes(file)) };
      });
    }
    assert.deepEqual(
      paths.map(({ what }) => what),
      Object.keys(most),
    );
    for (const { what, files } of paths)
      assert.ok(files.length <= (most[what] ?? 0), `${what}: ${files.length}\n${files.join('\n')}`);
    const way = frames.map(({ path, line, name }) => `${path}:${line} ${name}`);
    assert.ok(frames.length <= 20, `${frames.length}\n${way.join('\n')}`);
    // From the call to the thread that receives; otherwise a part is missing.
    assert.match(way.at(-1) ?? '', /^grpc.edge.call.ts/);
    assert.ok(way.some(frame => frame.startsWith('registry/download/')));
  },
);
