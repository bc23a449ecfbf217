import type { Clock } from './retry.ts';
import type { Head, HttpRequest, Send } from './request.ts';

/** One request to one server. `path` lacks its query, which may be signed. Nothing here is secret. */
export type RequestReport = {
  readonly method: HttpRequest['method'];
  readonly host: string;
  readonly path: string;
  /** Milliseconds until the last byte of the response, or the failure. */
  readonly ms: number;
  /** Absent if there was no response. */
  readonly status?: number;
  /** The announced number of bytes. */
  readonly bytes?: number;
  /** The registry that this host mirrors. */
  readonly mirrorOf?: string;
  /** The source of the credential that may be sent. */
  readonly credential?: string;
  readonly error?: string;
};
export type OnRequest = (report: RequestReport) => void;

/** Reports each request when it is over, with its purpose. */
export function reportRequests(
  send: Send,
  purpose: Pick<RequestReport, 'mirrorOf' | 'credential'>,
  onRequest: OnRequest,
  clock: Pick<Clock, 'now'>,
): Send {
  return async (request, accept, signal) => {
    const start = clock.now();
    const { method, url } = request;
    let head: Head | undefined;
    const tell = (error?: string): void => {
      const length = Number(head?.headers['content-length']);
      onRequest({
        method,
        host: url.host,
        path: url.pathname,
        ...(head === undefined ? {} : { status: head.status }),
        ...(Number.isSafeInteger(length) ? { bytes: length } : {}),
        ms: clock.now() - start,
        ...purpose,
        ...(error === undefined ? {} : { error }),
      });
    };
    try {
      const answer = await send(
        request,
        found => {
          head = found;
          return accept(found);
        },
        signal,
      );
      tell();
      return answer;
    } catch (thrown) {
      tell(thrown instanceof Error ? thrown.message : String(thrown));
      throw thrown;
    }
  };
}
