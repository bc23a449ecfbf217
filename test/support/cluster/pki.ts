import { generateKeyPairSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram } from '../os/program.ts';
import { nodeAddress, nodeName } from './root.ts';

const newKey = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2'.split(' ');

/** Who calls the API server: a component, and the user and groups that its certificate names. */
const clients = {
  admin: '/O=system:masters/CN=admin',
  kubelet: `/O=system:nodes/CN=system:node:${nodeName}`,
  'controller-manager': '/CN=system:kube-controller-manager',
  scheduler: '/CN=system:kube-scheduler',
} as const;

/**
 * Writes the keys and certificates of a cluster, and a kubeconfig for each component, to a directory that its programs
 * see as `inside`.
 */
export async function makePki(directory: string, inside: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  const file = (name: string): string => join(directory, name);
  const outputs = (name: string) => ['-keyout', file(`${name}.key`), '-out', file(`${name}.crt`)];
  runProgram('openssl', ...newKey, '-subj', '/CN=cluster', ...outputs('ca'));

  const certify = (name: string, subject: string, names: readonly string[]): void => {
    const signer = ['-CA', file('ca.crt'), '-CAkey', file('ca.key')];
    const extensions = ['extendedKeyUsage=clientAuth,serverAuth', 'basicConstraints=critical,CA:false'];
    if (names.length > 0) extensions.push(`subjectAltName=${names.join(',')}`);
    const added = extensions.flatMap(extension => ['-addext', extension]);
    runProgram('openssl', ...newKey, '-subj', subject, ...signer, ...added, ...outputs(name));
  };
  const api = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc'].map(name => `DNS:${name}`);
  certify('apiserver', '/CN=kube-apiserver', [...api, 'IP:10.96.0.1', `IP:${nodeAddress}`]);
  for (const [name, subject] of Object.entries(clients)) {
    certify(name, subject, name === 'kubelet' ? [`DNS:${nodeName}`, `IP:${nodeAddress}`] : []);
    await writeFile(file(`${name}.kubeconfig`), JSON.stringify(kubeconfig(name, inside)));
  }

  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  await writeFile(file('service-accounts.key'), privateKey);
  await writeFile(file('service-accounts.pub'), publicKey);
}

function kubeconfig(user: string, directory: string): object {
  const cluster = { server: `https://${nodeAddress}`, 'certificate-authority': `${directory}/ca.crt` };
  const credentials = {
    'client-certificate': `${directory}/${user}.crt`,
    'client-key': `${directory}/${user}.key`,
  };
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'cluster', cluster }],
    users: [{ name: user, user: credentials }],
    contexts: [{ name: user, context: { cluster: 'cluster', user } }],
    'current-context': user,
  };
}
