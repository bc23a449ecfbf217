import { execFileSync } from 'node:child_process';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestSigner, toSigner } from './signer.ts';

/** The content of a certificate. The defaults are those of Fulcio; it is valid from now, for a day. */
export type LeafOptions = {
  readonly email?: string;
  readonly subjectAltName?: string;
  /** More of its subject, as in `/emailAddress=…`. */
  readonly subject?: string;
  /** The OpenID issuer in the older and the newer extension; undefined omits it. */
  readonly issuerText?: string | undefined;
  readonly issuerString?: string | undefined;
  readonly extendedKeyUsage?: string | undefined;
};

/** A certificate authority like Fulcio's, made by openssl: a root, an intermediate, certificates for signers. */
export type TestFulcio = {
  readonly root: string;
  readonly intermediate: string;
  /** Issued by the intermediate by default; `leaf1` is the first issued certificate, which may issue none. */
  issue(
    options?: LeafOptions,
    by?: 'root' | 'intermediate' | 'leaf1',
  ): TestSigner & { readonly certificate: string };
};

export const issuer = 'https://accounts.example.com';
export const email = 'jane@example.com';

/** Creates `directory` for its files; all have the same names. `purpose` is the intermediate's extended key usage. */
export function makeFulcio(directory: string, purpose = 'codeSigning'): TestFulcio {
  let made = 0;
  mkdirSync(directory);
  const file = (end: string) => join(directory, end);
  const run = (line: string) => execFileSync('openssl', line.split(' '), { stdio: 'pipe' });

  function make(
    end: string,
    extensions: readonly string[],
    by: string | undefined,
    days: number,
    subject = '',
  ): string {
    writeFileSync(file(`${end}.ext`), extensions.join('\n'));
    run(`genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ${file(`${end}.key`)}`);
    run(
      `req -new -key ${file(`${end}.key`)} -subj /O=sigstore.test/CN=${end.replace(/\d/, '')}${subject} -out ${file(`${end}.csr`)}`,
    );
    const signer =
      by === undefined
        ? `-signkey ${file(`${end}.key`)}`
        : `-CA ${file(`${by}.pem`)} -CAkey ${file(`${by}.key`)} -CAcreateserial`;
    run(
      `x509 -req -in ${file(`${end}.csr`)} ${signer} -days ${days} -extfile ${file(`${end}.ext`)} -out ${file(`${end}.pem`)}`,
    );
    return readFileSync(file(`${end}.pem`), 'utf8');
  }

  const authority = ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign'];
  const root = make('root', authority, undefined, 30);
  const intermediate = make('intermediate', [...authority, `extendedKeyUsage=${purpose}`], 'root', 20);

  const issue: TestFulcio['issue'] = (options = {}, by = 'intermediate') => {
    const said = { issuerText: issuer, issuerString: issuer, extendedKeyUsage: 'codeSigning', ...options };
    made += 1;
    const end = `leaf${made}`;
    const certificate = make(
      end,
      [
        'keyUsage=critical,digitalSignature',
        `subjectAltName=critical,${said.subjectAltName ?? `email:${said.email ?? email}`}`,
        '1.3.6.1.4.1.11129.2.4.2=DER:040400020000', // Fulcio's certificates have proofs of a log of certificates here
        ...(said.extendedKeyUsage ? [`extendedKeyUsage=${said.extendedKeyUsage}`] : []),
        ...(said.issuerText
          ? [`1.3.6.1.4.1.57264.1.1=DER:${Buffer.from(said.issuerText).toString('hex')}`]
          : []),
        ...(said.issuerString ? [`1.3.6.1.4.1.57264.1.8=ASN1:UTF8String:${said.issuerString}`] : []),
      ],
      by,
      1,
      said.subject,
    );
    const key = createPrivateKey(readFileSync(file(`${end}.key`)));
    return { ...toSigner(key, createPublicKey(key)), certificate };
  };

  return { root, intermediate, issue };
}
