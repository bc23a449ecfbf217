import { type Rpc, toServices } from '../edge/messages.ts';
import { dragonflyFiles, readProtoFiles } from '../edge/proto-files.ts';

/** Reads the calls of dfdaemon that are used. A build has generated code in place of this file, too. */
export function readServices(): Readonly<Record<string, readonly Rpc[]>> {
  return toServices(readProtoFiles(dragonflyFiles));
}
