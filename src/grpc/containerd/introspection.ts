import { ArtifactError } from '../../util/error.ts';
import { quoteName } from '../../util/name.ts';
import { type Edge, unary } from '../edge/call.ts';
import type { IntrospectionHandlers } from '../wire/containerd/services/introspection/v1/Introspection.ts';
import type { LeasesHandlers } from '../wire/containerd/services/leases/v1/Leases.ts';
import type { NamespacesHandlers } from '../wire/containerd/services/namespaces/v1/Namespaces.ts';
import type { VersionHandlers } from '../wire/containerd/services/version/v1/Version.ts';
import { refusing } from './refusal.ts';

/** That of Kubernetes. Every namespace that a client names shows the same. */
export const theNamespace = 'k8s.io';

/**
 * The plugin that clients ask for the directory of the content. It names none, so that they read content by the
 * socket, which decides about each digest.
 */
const plugin = { type: 'io.containerd.content.v1', id: 'content' };

/** What clients ask about the server itself. */
export function introspectionHandlers(edge: Edge): IntrospectionHandlers {
  return {
    Plugins: unary(edge, async () => ({ plugins: [plugin] })),
    PluginInfo: unary(edge, async ({ type, id }) => {
      if (type === plugin.type && id === plugin.id) return { plugin };
      throw new ArtifactError('not-found', `plugin ${quoteName(`${type}.${id}`)}: not found`);
    }),
    Server: unary(edge, async () => ({})),
  };
}

export function namespacesHandlers(edge: Edge): NamespacesHandlers {
  const denied = refusing(edge);
  return {
    Get: unary(edge, async ({ name }) => {
      if (name === theNamespace) return { namespace: { name } };
      throw new ArtifactError('not-found', `namespace ${quoteName(name)}: not found`);
    }),
    List: unary(edge, async () => ({ namespaces: [{ name: theNamespace }] })),
    Create: denied,
    Update: denied,
    Delete: denied,
  };
}

export function versionHandlers(edge: Edge, version: string): VersionHandlers {
  return { Version: unary(edge, async () => ({ version, revision: 'oci-artifact-csi' })) };
}

export function leasesHandlers(edge: Edge): LeasesHandlers {
  const denied = refusing(edge);
  return { Create: denied, Delete: denied };
}
