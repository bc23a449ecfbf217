import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { publishRequest, type TestDaemon } from '../node/daemon.ts';
import { token as kubeToken, pathOf, type TestKubeApi } from '../node/kube-api.ts';
import { type Outcome, outcomeOf } from '../node/outcome.ts';
import { shownOf, verifyGone, verifyVolume } from '../node/volume.ts';
import { pluginSource, writeScript } from '../os/script.ts';
import { oras } from './oras.ts';

/** Users of a private registry. */
export const users = {
  alice: { password: 'S3CRET-of-alice', repositories: ['team-a/model'] },
  bob: { password: 'S3CRET-of-bob', repositories: ['team-b/model'] },
  robot: { password: 'S3CRET-of-robot', repositories: ['team-a/model', 'team-b/model'] },
} as const;
type User = keyof typeof users;
export const authOf = (user: User): { readonly auth: string } => ({
  auth: Buffer.from(`${user}:${users[user].password}`).toString('base64'),
});
type Attributes = Readonly<Record<string, string>>;

/** Publishes for a new pod; `prepare` is called with its uid first. */
export async function publish(
  daemon: TestDaemon,
  reference: string,
  options: {
    readonly attributes?: Attributes;
    readonly secrets?: Attributes;
    readonly prepare?: (uid: string) => void;
  } = {},
): Promise<Outcome> {
  const { attributes = {}, secrets = {}, prepare } = options;
  const request = await publishRequest(daemon.node, { reference, ...attributes }, secrets);
  prepare?.(request.volume_context?.['csi.storage.k8s.io/pod.uid'] ?? '');
  const outcome = await outcomeOf(daemon.csi.NodePublishVolume(request));
  if (outcome.code === 'OK') verifyVolume(request.target_path, shownOf([['model.bin', reference]]));
  else verifyGone(request.target_path);
  return outcome;
}

/** Everything that a daemon wrote, to its log and its directories, and its responses. */
export function verifyNoSecret(daemon: TestDaemon, outcomes: readonly Outcome[]): void {
  const files = readdirSync(daemon.node.stateDir, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => readFileSync(join(entry.parentPath, entry.name), 'latin1'));
  for (const text of [daemon.output(), ...files, ...outcomes.map(outcome => outcome.text)]) {
    for (const part of ['S3CRET', kubeToken, ...Object.keys(users).map(user => authOf(user as User).auth)]) {
      assert.ok(!text.includes(part), `${part} in ${text.slice(0, 2000)}`);
    }
  }
}

/** Pushes `model.bin`, whose content is its reference. */
export async function push(host: string, repository: string, user: User, work: string): Promise<string> {
  const reference = `${host}/${repository}:v1`;
  await mkdir(work, { recursive: true });
  await writeFile(join(work, 'model.bin'), reference);
  await oras(['push', '--plain-http', '-u', user, '-p', users[user].password, reference, 'model.bin'], work);
  return reference;
}

/** Adds a pod to the API. */
export function addPod(kube: TestKubeApi, name: string, uid: string, spec: Record<string, unknown>): void {
  kube.object(pathOf('pods', 'default', name), {
    metadata: { uid, name },
    spec: { containers: [], ...spec },
  });
}

/** Flags for one provider for a registry, whose plugin returns the result of this JavaScript. */
export async function provider(
  directory: string,
  host: string,
  answer: string,
  more: Record<string, unknown> = {},
): Promise<Record<string, string>> {
  const bin = join(directory, 'providers');
  await writeScript(join(bin, 'plugin'), pluginSource(join(directory, 'plugin.log'), answer));
  const entry = {
    name: 'plugin',
    apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    matchImages: [host],
    defaultCacheDuration: '1h',
    ...more,
  };
  const config = join(directory, 'providers.json');
  const document = {
    kind: 'CredentialProviderConfig',
    apiVersion: 'kubelet.config.k8s.io/v1',
    providers: [entry],
  };
  await writeFile(config, JSON.stringify(document));
  return { '--credential-provider-config': config, '--credential-provider-bin-dir': bin };
}
