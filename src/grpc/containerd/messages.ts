import { type Rpc, toServices } from '../edge/messages.ts';
import { containerdFiles, readProtoFiles } from '../edge/proto-files.ts';

/** Reads the calls of the services of containerd. A build has generated code in place of this file, too. */
export function readServices(): Readonly<Record<string, readonly Rpc[]>> {
  return toServices(readProtoFiles(containerdFiles));
}
