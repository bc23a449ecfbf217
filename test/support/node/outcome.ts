import { type ServiceError, status } from '@grpc/grpc-js';

/** How a call ended: `OK`, or the name of its gRPC status with its message; `ms` is its duration. */
export type Outcome = { readonly code: string; readonly text: string; readonly ms: number };

/** Waits for a call, whatever its end. @throws an error that is not a server's response. */
export async function outcomeOf(call: Promise<unknown>): Promise<Outcome> {
  const start = performance.now();
  try {
    await call;
    return { code: 'OK', text: '', ms: performance.now() - start };
  } catch (thrown) {
    const { code, details } = thrown as Partial<ServiceError>;
    if (code === undefined || details === undefined) throw thrown;
    return { code: status[code], text: details, ms: performance.now() - start };
  }
}
