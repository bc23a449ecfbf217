/**
 * How the node came to a host: a reference names it and no file does, a file of the configuration does, or the server at
 * `host` sent the node there by a redirect or a challenge. A `registries.conf` may be one of its drop-ins.
 */
export type HostOrigin =
  | { readonly kind: 'reference' }
  | { readonly kind: 'registries.conf' | 'hosts.toml'; readonly file: string }
  | { readonly kind: 'server'; readonly host: string };

type Obstacle = 'certificate' | 'client-certificate' | 'no-tls' | 'downgrade' | 'name';

/** Returns what to do about an obstacle on the way to a host, in the file that the host comes from. */
export function advise(obstacle: Obstacle, host: string, origin: HostOrigin): string {
  const where = 'file' in origin ? `for ${host} in ${origin.file}` : '';
  const file = 'file' in origin ? origin.file : '';
  const sent = 'host' in origin ? `${origin.host} sends this node there` : '';
  const ca = 'add its CA with --ca-file';
  const plain = 'if it serves plain HTTP';
  const client = 'it may want a client certificate, which';
  const texts: Record<Obstacle, Record<HostOrigin['kind'], string>> = {
    certificate: {
      reference: `${ca}, or mark the registry insecure in registries.conf, or set skip_verify in its hosts.toml`,
      'registries.conf': `${ca}, or write insecure = true ${where}`,
      'hosts.toml': `${ca}, or write ca or skip_verify ${where}`,
      server: `${ca}; ${sent}`,
    },
    'client-certificate': {
      reference: `${client} --certs-dir can give it`,
      'registries.conf': `${client} --certs-dir can give it`,
      'hosts.toml': `${client} client ${where}, or --certs-dir, can give it`,
      server: `${sent}, and a client certificate goes to no such server`,
    },
    'no-tls': {
      reference: `${plain}, mark the registry insecure in registries.conf, or write http:// before the host in its hosts.toml`,
      'registries.conf': `${plain}, write insecure = true ${where}`,
      'hosts.toml': `${plain}, write http://${host} in ${file}`,
      server: `${sent} by https: correct the address there`,
    },
    downgrade: {
      reference:
        'mark the registry insecure in registries.conf, or set skip_verify in its hosts.toml, if that is meant',
      'registries.conf': `write insecure = true ${where} if that is meant`,
      'hosts.toml': `write skip_verify = true ${where} if that is meant`,
      server: `${sent}: correct the address there`,
    },
    name: {
      reference: "check its spelling, and the node's resolver",
      'registries.conf': `check its spelling in ${file}, and the node's resolver`,
      'hosts.toml': `check its spelling in ${file}, and the node's resolver`,
      server: `${sent}; check the node's resolver`,
    },
  };
  return texts[obstacle][origin.kind];
}
