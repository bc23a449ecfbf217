import type { Tenants } from '../../util/fair-slots.ts';
import { type Allowance, begin, createTokenBucket, lift, openAllowance } from '../../util/token-bucket.ts';

/** Bounds the rate of downloads that only one tenant wants. */
export type Bandwidth = {
  /**
   * Waits until a download of so many bytes may begin. Its bytes are received from the allowance, which bounds it until
   * this is disposed. As soon as another tenant wants the download too, neither happens any more.
   */
  slow(
    bytes: number,
    tenants: Tenants,
    signal: AbortSignal,
  ): Promise<Disposable & { readonly allowance: Allowance }>;
  /** Whether a download of these tenants would be slowed now. */
  isSlow(tenants: Tenants): boolean;
};

/** All slowed downloads share the rate. */
export function createBandwidth(bytesPerSecond: number, tenant: string): Bandwidth {
  const bucket = createTokenBucket(bytesPerSecond);
  return {
    async slow(bytes, tenants, signal) {
      using stack = new DisposableStack();
      const allowance = openAllowance(bucket, bytes);
      stack.defer(() => lift(allowance));
      stack.use(tenants.each(one => one !== tenant && lift(allowance)));
      await begin(allowance, signal);
      const bound = stack.move();
      return { allowance, [Symbol.dispose]: () => bound.dispose() };
    },
    isSlow(tenants) {
      let isAlone = true;
      using _ = tenants.each(one => {
        isAlone &&= one === tenant;
      });
      return isAlone;
    },
  };
}
