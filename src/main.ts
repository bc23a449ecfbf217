#!/usr/bin/env -S MALLOC_ARENA_MAX=1 node --max-semi-space-size=4 --no-memory-pool-share-memory-on-teardown --invocation-count-for-turbofan=100000 --invocation-count-for-osr=20000
// A small young generation saves 80 MB at the peak of a large layer, for a little more garbage collection. One malloc
// arena (glibc) saves 5 MB, because a thread can reuse what another one freed.
import { listenForEnd } from './shutdown.ts';
import { daemonOptions, ensureNodeOptions } from './util/node-options.ts';

/** No scrape happens during a command. */
const unmeasured = { bytesPulled() {}, damageFound() {}, pullEnded() {} };

// However the daemon was started, and before the rest is loaded, which would be loaded twice.
const isDaemon = process.argv[2] === 'serve';
if (isDaemon || process.argv[2] === 'hold') ensureNodeOptions(daemonOptions);
// As early as possible: the kernel drops a SIGTERM of process 1 that it does not handle.
const end = isDaemon ? listenForEnd() : undefined;
const { runCli } = await import('./cli/program.ts');
const { openTerminal } = await import('./cli/terminal.ts');

process.exitCode = await runCli(
  process.argv.slice(2),
  {
    serve: async settings => {
      // Everything is closed when serve returns. A connection attempt that hangs would keep the process for 10 s or
      // longer.
      process.exit(await (await import('./daemon.ts')).serve(settings, end ?? listenForEnd()));
    },
    hold: async (...call) => (await import('./mount/holder.ts')).hold(...call),
    open: async (settings, log, direct) =>
      (await import('./wiring.ts')).openNode(settings, log, unmeasured, direct),
    connect: async socket => (await import('./grpc/client/client.ts')).connectRemote(socket),
    connectNode: async socket => (await import('./grpc/client/node.ts')).connectNode(socket),
  },
  openTerminal(),
);
