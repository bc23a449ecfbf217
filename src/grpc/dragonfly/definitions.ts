import { toDefinitions } from '../edge/definitions.ts';
import type { ProtoGrpcType as Dragonfly } from '../wire/dfdaemon.ts';
import { readServices } from './messages.ts';

/** The service of dfdaemon's socket, and its client. */
export function loadDragonfly(): Dragonfly['dfdaemon']['v2'] {
  return (toDefinitions(readServices()) as unknown as Dragonfly).dfdaemon.v2;
}
