import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptor,
  ServerListenerBuilder,
  status,
} from '@grpc/grpc-js';

/**
 * Bounds the calls whose first message is under way, on all connections together: what has come of each stays in memory.
 * One too many ends the one that has waited longest, so whoever sends a message at once is served.
 */
export function boundHalfSent(most: number): ServerInterceptor {
  const waiting = new Set<() => void>();
  return (_, call) => {
    const end = (): void => {
      waiting.delete(end);
      const details = 'the message of this call was not sent while others came; call again';
      call.sendStatus({ code: status.RESOURCE_EXHAUSTED, details });
    };
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata: Metadata, next) => {
        waiting.add(end);
        const [longest] = waiting;
        if (waiting.size > most) longest?.();
        next(metadata);
      })
      .withOnReceiveMessage((message: unknown, next) => {
        waiting.delete(end);
        next(message);
      })
      .withOnReceiveHalfClose(next => {
        waiting.delete(end);
        next();
      })
      .withOnCancel(() => void waiting.delete(end))
      .build();
    return new ServerInterceptingCall(call, { start: next => next(listener) });
  };
}
