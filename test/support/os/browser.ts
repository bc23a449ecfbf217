import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startChild, waitUntil } from '../node/child.ts';
import { toolPath } from '../project/tools.ts';

/** A page of a browser, driven by the DevTools protocol. */
export type Tab = {
  /** Loads an address, and waits for its load event. */
  open(url: string): Promise<void>;
  /** The value of an expression in the page. */
  evaluate<T>(expression: string): Promise<T>;
  /** Sends a command of the protocol. */
  send(method: string, parameters?: object): Promise<unknown>;
  /** A picture of what is visible, as PNG. */
  screenshot(): Promise<Buffer>;
  /** What the console and the policies of the page complained about. */
  complaints(): readonly string[];
};

export type Browser = AsyncDisposable & { readonly tab: Tab };

type Message = {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly entry?: { readonly text: string; readonly url?: string } };
  readonly result?: unknown;
  readonly error?: { readonly message: string };
};

const unwrapped = '/usr/lib/chromium/chromium-headless-shell';

/** Starts Chromium without a screen, with one empty page. Disposing ends it. */
export async function openBrowser(): Promise<Browser> {
  await using stack = new AsyncDisposableStack();
  const profile = await mkdtemp(join(tmpdir(), 'browser-'));
  stack.defer(() => rm(profile, { recursive: true, force: true, maxRetries: 10 }));
  const flags = [
    '--no-sandbox', // tests run as root
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--remote-debugging-port=0',
    `--user-data-dir=${profile}`,
    'about:blank',
  ];
  // The program on the PATH is a script, which would end without the browser.
  const program = [unwrapped, toolPath('chromium-headless-shell')].find(path => existsSync(path)) ?? '';
  const child = stack.use(await startChild(program, flags));
  const address = (): URL | undefined => {
    const [, found] = /DevTools listening on (ws:\S+)/.exec(child.output()) ?? [];
    return found === undefined ? undefined : new URL(found);
  };
  await waitUntil(child, () => address() !== undefined, 'listening');
  const pages = (await (await fetch(`http://${address()?.host}/json/list`)).json()) as readonly {
    readonly webSocketDebuggerUrl: string;
  }[];
  const tab = await openTab(pages[0]?.webSocketDebuggerUrl ?? '');
  stack.defer(async () => {
    tab.close();
    await child.end('SIGTERM'); // it ends its own children
  });
  const held = stack.move();
  return { tab, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

async function openTab(url: string): Promise<Tab & { close(): void }> {
  const socket = new WebSocket(url);
  const waiting = new Map<number, (message: Message) => void>();
  const loads = new Set<() => void>();
  const complaints: string[] = [];
  let last = 0;
  socket.addEventListener('message', ({ data }) => {
    const message = JSON.parse(String(data)) as Message;
    if (message.id !== undefined) waiting.get(message.id)?.(message);
    if (message.method === 'Page.loadEventFired') for (const done of loads) done();
    const entry = message.params?.entry;
    if (message.method === 'Log.entryAdded' && entry !== undefined)
      complaints.push(`${entry.text} ${entry.url}`);
    if (message.method === 'Runtime.exceptionThrown') complaints.push(String(data));
  });
  const opened = Promise.withResolvers<void>();
  socket.addEventListener('open', () => opened.resolve());
  socket.addEventListener('error', () => opened.reject(new Error(`cannot connect to ${url}`)));
  await opened.promise;

  const send = async (method: string, parameters: object = {}): Promise<unknown> => {
    const id = ++last;
    const { promise, resolve } = Promise.withResolvers<Message>();
    waiting.set(id, resolve);
    socket.send(JSON.stringify({ id, method, params: parameters }));
    const { result, error } = await promise;
    waiting.delete(id);
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result;
  };
  for (const domain of ['Page', 'Runtime', 'Log']) await send(`${domain}.enable`);
  return {
    send,
    complaints: () => complaints,
    async open(to) {
      const { promise, resolve } = Promise.withResolvers<void>();
      loads.add(resolve);
      await send('Page.navigate', { url: to });
      await promise;
      loads.delete(resolve);
    },
    async evaluate<T>(expression: string) {
      const { result, exceptionDetails } = (await send('Runtime.evaluate', {
        expression,
        returnByValue: true,
        awaitPromise: true,
      })) as {
        readonly result: { readonly value: T };
        readonly exceptionDetails?: { readonly text: string };
      };
      if (exceptionDetails !== undefined) throw new Error(`${expression}: ${exceptionDetails.text}`);
      return result.value;
    },
    async screenshot() {
      const { data } = (await send('Page.captureScreenshot')) as { readonly data: string };
      return Buffer.from(data, 'base64');
    },
    close: () => socket.close(),
  };
}
