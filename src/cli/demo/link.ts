import { setTimeout as sleep } from 'node:timers/promises';
import type { Reply } from './registry.ts';

/** What all answers of a registry go through, in turns. */
export type PacedLink = {
  /** Sends the body of an answer no faster than the link. */
  send(reply: Reply): Reply;
  /** The bytes of bodies so far. */
  sent(): number;
};

/** @param bytesPerSecond of all answers together. */
export function openLink(bytesPerSecond: number): PacedLink {
  let sent = 0;
  let freeAt = 0;

  async function* pace(body: Reply['body']) {
    for await (const piece of body) {
      const now = performance.now();
      freeAt = Math.max(freeAt, now) + (piece.length / bytesPerSecond) * 1000;
      if (freeAt > now) await sleep(freeAt - now);
      sent += piece.length;
      yield piece;
    }
  }

  return { send: reply => ({ ...reply, body: pace(reply.body) }), sent: () => sent };
}
