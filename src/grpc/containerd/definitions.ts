import { toDefinitions } from '../edge/definitions.ts';
import type { ProtoGrpcType as Content } from '../wire/content.ts';
import type { ProtoGrpcType as Events } from '../wire/events.ts';
import type { ProtoGrpcType as Images } from '../wire/images.ts';
import type { ProtoGrpcType as Introspection } from '../wire/introspection.ts';
import type { ProtoGrpcType as Leases } from '../wire/leases.ts';
import type { ProtoGrpcType as Namespaces } from '../wire/namespaces.ts';
import type { ProtoGrpcType as Version } from '../wire/version.ts';
import { readServices } from './messages.ts';

type ContainerdDefinitions = Content & Events & Images & Introspection & Leases & Namespaces & Version;

/** The services of containerd that are served, and their clients. */
export function loadContainerd(): ContainerdDefinitions['containerd']['services'] {
  return (toDefinitions(readServices()) as unknown as ContainerdDefinitions).containerd.services;
}
