// Runs in the driver's image before `helm uninstall` removes anything, and fails while a pod uses the driver: without
// the driver kubelet cannot unmount, and such a pod stays in Terminating.
import { readFileSync } from 'node:fs';

const { DRIVER, TOKEN_FILE, KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
const api = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;

/** All objects of a kind, page by page. */
async function* list(path) {
  const page = new URL(path, api);
  page.searchParams.set('limit', '500');
  for (;;) {
    const authorization = `Bearer ${readFileSync(TOKEN_FILE, 'utf8').trim()}`;
    const response = await fetch(page, { headers: { authorization }, signal: AbortSignal.timeout(30_000) });
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
    const { items, metadata } = await response.json();
    yield* items;
    if (!metadata.continue) return;
    page.searchParams.set('continue', metadata.continue);
  }
}

const claims = new Set();
for await (const { spec } of list('/api/v1/persistentvolumes'))
  if (spec.csi?.driver === DRIVER && spec.claimRef) claims.add(`${spec.claimRef.namespace}/${spec.claimRef.name}`);

const users = [];
for await (const { metadata, spec, status } of list('/api/v1/pods')) {
  // Kubernetes names the claim of a generic ephemeral volume by its pod.
  const claimOf = ({ name, ephemeral, persistentVolumeClaim }) =>
    ephemeral ? `${metadata.name}-${name}` : persistentVolumeClaim?.claimName;
  const uses = volume =>
    volume.csi?.driver === DRIVER || claims.has(`${metadata.namespace}/${claimOf(volume)}`);
  // A pod has no volume before it has a node, and kubelet unmounts those of a pod that has ended.
  const hasEnded = ['Succeeded', 'Failed'].includes(status?.phase);
  if (spec.nodeName && !hasEnded && spec.volumes?.some(uses)) users.push(`${metadata.namespace}/${metadata.name}`);
}

if (users.length > 0) {
  const more = users.length > 20 ? `, and ${users.length - 20} more` : '';
  console.error(`${users.length} pods use ${DRIVER}: ${users.slice(0, 20).join(', ')}${more}`);
  console.error('Delete them first: without the driver kubelet cannot unmount their volumes.');
  process.exitCode = 1;
} else {
  console.log(`no pod uses ${DRIVER}`);
}
