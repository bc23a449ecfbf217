import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from '../os/program.ts';
import { temporaryDirectory } from '../os/temporary.ts';

/** Ends all FUSE connections that are opened meanwhile, after so long: what waits for them could not even be killed. */
export async function watchConnections(withinMs: number): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const { path } = stack.use(await temporaryDirectory());
  runProgram('mount', '-t', 'fusectl', 'fusectl', path);
  stack.defer(() => void runProgram('umount', path));
  const before = new Set(readdirSync(path));
  const abort = (): void => {
    for (const name of readdirSync(path))
      if (!before.has(name)) writeFileSync(join(path, name, 'abort'), '1');
  };
  const timer = setTimeout(abort, withinMs);
  stack.defer(() => clearTimeout(timer));
  return stack.move();
}
