import { constants, type ServerHttp2Stream } from 'node:http2';
import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  ServerListenerBuilder,
  status,
} from '@grpc/grpc-js';
import { createRequestTurns, type TurnBounds } from './request-turns.ts';

export type IntakeBounds = TurnBounds & {
  /** Bytes of a message in a stream of several: some of them wait for the handler. */
  readonly streamed: number;
};

/** The memory of a piece of a message beyond its bytes. */
const overhead = 256;

/** Bounds the memory of incoming requests on all connections together. */
export function boundIntake(bounds: IntakeBounds): ServerInterceptor {
  const turns = createRequestTurns(bounds);
  return ({ requestStream }, call) =>
    requestStream ? boundMessages(call, bounds.streamed) : takeTurn(call, turns);
}

function takeTurn(
  call: ServerInterceptingCallInterface,
  turns: ReturnType<typeof createRequestTurns>,
): ServerInterceptingCall {
  const stream = streamOf(call);
  const request = {
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
    end: () => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM),
  };
  const count = (piece: Buffer): void => turns.add(request, piece.length + overhead);
  const leave = (): void => {
    stream.off('data', count); // data of a call that was answered is discarded
    turns.leave(request);
  };
  stream.on('data', count).once('end', leave).once('close', leave);
  const listener = new ServerListenerBuilder().withOnCancel(leave).build();
  return new ServerInterceptingCall(call, { start: next => next(listener) });
}

function boundMessages(call: ServerInterceptingCallInterface, most: number): ServerInterceptingCall {
  const stream = streamOf(call);
  let bytes = 0;
  const count = (piece: Buffer): void => {
    bytes += piece.length + overhead;
    if (bytes <= most) return;
    stream.off('data', count);
    call.sendStatus({
      code: status.INVALID_ARGUMENT,
      details: `a message of this call may have ${most} bytes; send the content in smaller pieces`,
    });
  };
  stream.on('data', count);
  const listener = new ServerListenerBuilder()
    .withOnReceiveMessage((message: unknown, next) => {
      bytes = 0;
      next(message);
    })
    .build();
  return new ServerInterceptingCall(call, { start: next => next(listener) });
}

/** The library does not expose the stream, and has no other way to read a part of a message slowly, or to close it. */
function streamOf(call: ServerInterceptingCallInterface): ServerHttp2Stream {
  return (call as unknown as { readonly stream: ServerHttp2Stream }).stream;
}
