#!/usr/bin/env -S MALLOC_ARENA_MAX=1 node --max-semi-space-size=4
// A small young generation: 80 MB less at the peak of a large layer, for a little more collection. One arena of malloc
// (glibc): 5 MB less, since what one thread gave back another can have.
import { runCli } from './cli/program.ts';
import { openTerminal } from './cli/terminal.ts';
import { ensureNodeOptions } from './util/node-options.ts';

/** A command is over before anybody could scrape it. */
const unmeasured = { bytesPulled() {}, damageFound() {}, pullStarted() {}, pullEnded() {} };

const daemonOptions = {
  options: ['--max-semi-space-size=4', '--no-memory-pool-share-memory-on-teardown'],
  variables: { MALLOC_ARENA_MAX: '1' },
};

process.exitCode = await runCli(
  process.argv.slice(2),
  {
    // However it was started, its memory is as above; and what a thread leaves is not kept for the next one, which would
    // be 16 MB for ten seconds after each pull.
    serve: async settings => {
      ensureNodeOptions(daemonOptions);
      // All is closed when it answers; a connection that never comes about would keep the process for 10 s and longer.
      process.exit(await (await import('./daemon.ts')).serve(settings));
    },
    open: async (settings, log, direct) =>
      (await import('./wiring.ts')).openNode(settings, log, unmeasured, direct),
    connect: async socket => (await import('./grpc/client/client.ts')).connectRemote(socket),
    connectNode: async socket => (await import('./grpc/client/node.ts')).connectNode(socket),
  },
  openTerminal(),
);
