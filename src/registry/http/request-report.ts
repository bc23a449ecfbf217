import type { Clock } from './retry.ts';
import type { Head, HttpRequest, Send } from './request.ts';

/** One request to one server. `path` is without its query, which may be signed; nothing here is secret. */
export type RequestReport = {
  readonly method: HttpRequest['method'];
  readonly host: string;
  readonly path: string;
  /** Milliseconds until the last byte of the answer, or the failure. */
  readonly ms: number;
  /** Absent where nothing was answered. */
  readonly status?: number;
  /** What the answer says it has. */
  readonly bytes?: number;
  /** The registry that this is a mirror of. */
  readonly mirrorOf?: string;
  /** Where the credential was found that may be shown. */
  readonly credential?: string;
  readonly error?: string;
};
export type OnRequest = (report: RequestReport) => void;

/** Reports each request once it is over, with what it was made for. */
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
