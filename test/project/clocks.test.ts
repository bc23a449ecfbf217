import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const source = fileURLToPath(new URL('../../src/', import.meta.url));

/** The files that read the clock of the node, which an administrator or a time server may set, and what for. */
const readers: Readonly<Record<string, string>> = {
  'cli/terminal.ts': 'times that are shown',
  'configfile/watched-file.ts': 'compares with the times of files',
  'grpc/client/node.ts': 'a deadline of gRPC is a date',
  'grpc/edge/call-signal.ts': 'a deadline of gRPC is a date',
  'http/page/page-state.ts': 'times that are shown',
  'http/process-metrics.ts': 'the time of the start is shown',
  'http/server.ts': 'the Date header',
  'kube/event-sender.ts': 'times of events',
  'kube/exec-credential.ts': 'the end of a credential is a date',
  'kube/leases.ts': 'times in a Lease, which nobody compares',
  'kube/origin-gate.ts': 'a time that is shown',
  'prefetch/resources/summary.ts': 'times of conditions',
  'registry/client.ts': 'pauses have dates, which are shown and which servers give',
  'registry/dragonfly/dfdaemon-links.ts': 'compares with the times of files',
  'store/blobs/ingest.ts': 'compares with the times of files',
  'store/disk.ts': 'sets the time of a file',
  'store/integrity/evidence.ts': 'times of records, over restarts',
  'store/integrity/quarantine.ts': 'times in the names of files, over restarts',
  'store/lock.ts': 'a time that is shown',
  'store/records/records.ts': 'sets the time of a record',
  'store/views/views.ts': 'sets the time of a file',
  'util/pause.ts': 'compares with the date of a pause, for 5 s at most',
  'volume/cache/integrity.ts': 'compares with the times of records',
  'volume/cache/retirement.ts': 'a unique name',
  'volume/cache/scrub.ts': 'compares with the times of records',
  'volume/failing-volumes.ts': 'times that are shown',
  'volume/on-demand/live-view.ts': 'a time that is shown',
  'volume/prefetch-entry.ts': 'a deadline of a prefetch is a date, and a time that is shown',
  'volume/prefetch.ts': 'a time that is shown',
  'volume/publish.ts': 'the time of a record',
  'volume/pull/naming.ts': 'times of records',
  'volume/pull/pending-pulls.ts': 'a time that is shown',
  'volume/pull/single-flight.ts': 'a time that is shown',
  'volume/share/announcer.ts': 'times of events',
};

function readsClock(text: string): boolean {
  return /\bDate\.now\b|\bnew Date\(\)/.test(text);
}

test('only listed files read a clock that may be set: for a duration, performance.now() is read', () => {
  const found = globSync('**/*.ts', { cwd: source })
    .filter(path => !path.endsWith('.test.ts') && readsClock(readFileSync(source + path, 'utf8')))
    .toSorted();
  assert.deepEqual(found, Object.keys(readers).toSorted());
  assert.deepEqual(['const at = Date.now();', 'performance.now()'].map(readsClock), [true, false]);
});
