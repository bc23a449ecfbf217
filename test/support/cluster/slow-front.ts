import { createServer, request } from 'node:http';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * `slow-front.ts <host> <port> <port of the registry>`: passes requests to a registry on the same host, and sends blobs
 * of more than 64 KiB at a rate, which `GET /rate/<bytes per second>` sets. `GET /sent`
 * returns how many bytes of such blobs were sent.
 */

const [host = '', port, target] = process.argv.slice(2);
let rate = 300_000;
let sent = 0;

createServer((asked, response) => {
  const { url = '', method, headers } = asked;
  if (url.startsWith('/rate/')) {
    rate = Number(url.slice('/rate/'.length));
    response.end();
    return;
  }
  if (url === '/sent') {
    response.end(String(sent));
    return;
  }
  const passed = request({ host, port: target, path: url, method, headers }, answer => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    const isSlow = method === 'GET' && Number(answer.headers['content-length']) > 65_536;
    if (!isSlow) answer.pipe(response);
    else void trickle(answer);
  });
  passed.on('error', () => response.destroy());
  asked.pipe(passed);

  async function trickle(answer: AsyncIterable<Uint8Array> & { destroy(): void }): Promise<void> {
    for await (const chunk of answer) {
      for (let at = 0; at < chunk.length && !response.destroyed; at += 16_384) {
        const part = chunk.subarray(at, at + 16_384);
        response.write(part);
        sent += part.length;
        await sleep((part.length / rate) * 1000);
      }
      if (response.destroyed) return answer.destroy();
    }
    response.end();
  }
}).listen(Number(port), host);
