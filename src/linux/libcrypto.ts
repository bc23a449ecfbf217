import type { KoffiFunc } from 'koffi';
import { libc } from './libc.ts';

/** The address of an OpenSSL object. */
type Handle = object;

/** Certificates in DER. The roots are trusted; `intermediates` are untrusted. */
export type PathQuery = {
  readonly leaf: Uint8Array;
  readonly intermediates: readonly Uint8Array[];
  readonly roots: readonly Uint8Array[];
  /** The time at which all certificates of the path must be valid. */
  readonly time: Date;
};

/**
 * Path validation (RFC 5280, section 6) by the OpenSSL inside Node. Node's documentation allows native code to link
 * with it, and Node's TLS relies on X509_verify_cert. Node itself offers it only for connections. It checks signatures,
 * names, validity, basic constraints, path lengths, keyCertSign, name constraints, policies and critical extensions,
 * also of the root.
 */
const functions = (): Functions => ({
  BIO_new_mem_buf: libc.func('void *BIO_new_mem_buf(const void *, int)'),
  BIO_free: libc.func('int BIO_free(void *)'),
  d2i_X509_bio: libc.func('void *d2i_X509_bio(void *, void *)'),
  X509_free: libc.func('void X509_free(void *)'),
  OPENSSL_sk_new_null: libc.func('void *OPENSSL_sk_new_null()'),
  OPENSSL_sk_push: libc.func('int OPENSSL_sk_push(void *, void *)'),
  OPENSSL_sk_free: libc.func('void OPENSSL_sk_free(void *)'),
  X509_STORE_new: libc.func('void *X509_STORE_new()'),
  X509_STORE_add_cert: libc.func('int X509_STORE_add_cert(void *, void *)'),
  X509_STORE_free: libc.func('void X509_STORE_free(void *)'),
  X509_STORE_CTX_new: libc.func('void *X509_STORE_CTX_new()'),
  X509_STORE_CTX_init: libc.func('int X509_STORE_CTX_init(void *, void *, void *, void *)'),
  X509_STORE_CTX_get0_param: libc.func('void *X509_STORE_CTX_get0_param(void *)'),
  X509_STORE_CTX_get_error: libc.func('int X509_STORE_CTX_get_error(void *)'),
  X509_STORE_CTX_free: libc.func('void X509_STORE_CTX_free(void *)'),
  X509_VERIFY_PARAM_set_time: libc.func('void X509_VERIFY_PARAM_set_time(void *, int64)'),
  X509_VERIFY_PARAM_set_flags: libc.func('int X509_VERIFY_PARAM_set_flags(void *, ulong)'),
  X509_VERIFY_PARAM_set_auth_level: libc.func('void X509_VERIFY_PARAM_set_auth_level(void *, int)'),
  X509_verify_cert: libc.func('int X509_verify_cert(void *)'),
  X509_verify_cert_error_string: libc.func('const char *X509_verify_cert_error_string(long)'),
  ERR_clear_error: libc.func('void ERR_clear_error()'),
});

type Functions = {
  readonly BIO_new_mem_buf: KoffiFunc<(bytes: Uint8Array, length: number) => Handle | null>;
  readonly BIO_free: KoffiFunc<(bio: Handle) => number>;
  readonly d2i_X509_bio: KoffiFunc<(bio: Handle, into: null) => Handle | null>;
  readonly X509_free: KoffiFunc<(certificate: Handle) => void>;
  readonly OPENSSL_sk_new_null: KoffiFunc<() => Handle | null>;
  readonly OPENSSL_sk_push: KoffiFunc<(stack: Handle, item: Handle) => number>;
  readonly OPENSSL_sk_free: KoffiFunc<(stack: Handle) => void>;
  readonly X509_STORE_new: KoffiFunc<() => Handle | null>;
  readonly X509_STORE_add_cert: KoffiFunc<(store: Handle, certificate: Handle) => number>;
  readonly X509_STORE_free: KoffiFunc<(store: Handle) => void>;
  readonly X509_STORE_CTX_new: KoffiFunc<() => Handle | null>;
  readonly X509_STORE_CTX_init: KoffiFunc<
    (context: Handle, store: Handle, leaf: Handle, intermediates: Handle) => number
  >;
  readonly X509_STORE_CTX_get0_param: KoffiFunc<(context: Handle) => Handle | null>;
  readonly X509_STORE_CTX_get_error: KoffiFunc<(context: Handle) => number>;
  readonly X509_STORE_CTX_free: KoffiFunc<(context: Handle) => void>;
  readonly X509_VERIFY_PARAM_set_time: KoffiFunc<(param: Handle, seconds: number) => void>;
  readonly X509_VERIFY_PARAM_set_flags: KoffiFunc<(param: Handle, flags: number) => number>;
  readonly X509_VERIFY_PARAM_set_auth_level: KoffiFunc<(param: Handle, level: number) => void>;
  readonly X509_verify_cert: KoffiFunc<(context: Handle) => number>;
  readonly X509_verify_cert_error_string: KoffiFunc<(code: number) => string>;
  readonly ERR_clear_error: KoffiFunc<() => void>;
};

const X509_V_FLAG_POLICY_CHECK = 0x80;
const X509_V_FLAG_CHECK_SS_SIGNATURE = 0x4000;

/** Keys and hashes of 112 bits of security: RSA from 2048 bits, no SHA-1 (OpenSSL, SSL_CTX_set_security_level(3)). */
const authLevel = 2;

let loaded: Functions | undefined;

/**
 * Returns why no valid path leads from the leaf to a root, as OpenSSL's message; undefined if one does. It takes well
 * below a ms.
 */
export function findPathFlaw({ leaf, intermediates, roots, time }: PathQuery): string | undefined {
  loaded ??= functions();
  const openssl = loaded;
  using stack = new DisposableStack();

  /** @throws if OpenSSL returned none: out of memory, or the bytes are not a certificate. */
  const own = (handle: Handle | null, free: (handle: Handle) => unknown): Handle => {
    if (handle === null) throw new Error('OpenSSL cannot read it');
    stack.defer(() => void free(handle));
    return handle;
  };
  const parse = (der: Uint8Array): Handle => {
    const bio = own(openssl.BIO_new_mem_buf(der, der.length), openssl.BIO_free);
    return own(openssl.d2i_X509_bio(bio, null), openssl.X509_free);
  };

  stack.defer(() => openssl.ERR_clear_error()); // the queue belongs to this thread, and so to node:crypto too
  const store = own(openssl.X509_STORE_new(), openssl.X509_STORE_free);
  for (const root of roots) openssl.X509_STORE_add_cert(store, parse(root));
  const untrusted = own(openssl.OPENSSL_sk_new_null(), openssl.OPENSSL_sk_free);
  for (const certificate of intermediates) openssl.OPENSSL_sk_push(untrusted, parse(certificate));
  const subject = parse(leaf);
  const context = own(openssl.X509_STORE_CTX_new(), openssl.X509_STORE_CTX_free);
  if (openssl.X509_STORE_CTX_init(context, store, subject, untrusted) !== 1) {
    throw new Error('OpenSSL cannot verify a certificate');
  }
  const param = own(openssl.X509_STORE_CTX_get0_param(context), () => undefined);
  openssl.X509_VERIFY_PARAM_set_time(param, Math.floor(time.getTime() / 1000));
  openssl.X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_POLICY_CHECK | X509_V_FLAG_CHECK_SS_SIGNATURE);
  openssl.X509_VERIFY_PARAM_set_auth_level(param, authLevel);
  if (openssl.X509_verify_cert(context) === 1) return undefined;
  return openssl.X509_verify_cert_error_string(openssl.X509_STORE_CTX_get_error(context));
}
