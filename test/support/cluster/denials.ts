import { registriesConf } from './driver.ts';
import { hosts } from './registries.ts';

/** An artifact that a file of the driver's ConfigMap denies once the file has this text, and the words of the refusal. */
type Denial = { readonly reference: string; readonly text: string; readonly message: RegExp };

/** One of each file. The registry of the tests has all of them. */
export const denials: readonly Denial[] = [
  {
    reference: `${hosts.open}/files/registries:1`,
    text: 'blocked = true',
    message: /PermissionDenied desc = .*registries\.conf has blocked = true/,
  },
  {
    reference: 'mirrored.test/files/hosts:1',
    text: `http://${hosts.private}`,
    message: /Unauthenticated desc = .*files\/hosts.* needs a credential/,
  },
  {
    reference: `${hosts.open}/files/access:1`,
    text: 'no files',
    message: /PermissionDenied desc = .*rule "no files"/,
  },
  {
    reference: `${hosts.open}/files/policy:1`,
    text: '"reject"',
    message: /PermissionDenied desc = .*files\/policy.* is refused by .*policy\.json/,
  },
];

/** Where the registry has the artifact. */
export function storedAs({ reference }: Denial): string {
  return reference.replace('mirrored.test', hosts.open);
}

/** Values of the chart by which the files deny these artifacts, or do not. `rules`: more of the access policy. */
export function denyingValues(denies: boolean, rules: readonly object[]): object {
  const rule = {
    name: 'no files',
    namespaces: ['*'],
    references: [`${hosts.open}/files/access`],
    action: 'deny',
  };
  const trust = [{ type: 'insecureAcceptAnything' }];
  const scopes = { [`${hosts.open}/files/policy`]: denies ? [{ type: 'reject' }] : trust };
  const blocked = `[[registry]]\nlocation = "${hosts.open}/files/registries"\ninsecure = true\nblocked = ${denies}\n`;
  const server = `server = "http://${denies ? hosts.private : hosts.open}"\n`;
  return {
    registriesConf: { inline: `${registriesConf}${blocked}` },
    hostsDir: { inline: { 'mirrored.test': server } },
    accessPolicy: { inline: { default: 'allow', rules: [...rules, ...(denies ? [rule] : [])] } },
    policy: { inline: { default: trust, transports: { docker: scopes } } },
  };
}
