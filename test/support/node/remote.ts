import { join } from 'node:path';
import { pino } from 'pino';
import { connectRemote } from '../../../src/grpc/client/client.ts';
import { bindSocket } from '../../../src/grpc/edge/socket.ts';
import { serveCsi } from '../../../src/grpc/server.ts';
import type { Backend } from '../../../src/ports/backend.ts';
import type { Artifacts } from '../../../src/ports/usecases.ts';
import { temporaryDirectory } from '../os/temporary.ts';

type Around = {
  readonly artifacts?: Partial<Artifacts>;
  readonly publishing?: Partial<Backend['publishing']>;
};

/** The daemon's own service over the given use cases, and a client of it. */
export async function openRemote({ artifacts, publishing }: Around): Promise<Backend & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await temporaryDirectory());
  const endpoint = join(directory.path, 'csi.sock');
  stack.use(
    serveCsi({
      socket: await bindSocket(endpoint, 'if-silent'),
      driverName: 'driver.example',
      nodeId: 'node',
      version: '0',
      // A call that a test did not provide fails, and so does the test.
      artifacts: artifacts as Artifacts,
      publishing: { ...publishing } as never,
      log: pino({ level: 'silent' }),
      observe: () => {},
      ready: () => true,
    }),
  );
  const remote = connectRemote(endpoint);
  stack.defer(() => remote.close());
  const whole = stack.move();
  return { ...remote, [Symbol.asyncDispose]: () => whole.disposeAsync() };
}
