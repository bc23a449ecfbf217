import type { Pod } from '../../ports/request.ts';
import type { Pod__Output, Pod as WirePod } from '../wire/ociartifact/v1/Pod.ts';

export function fromPod(pod: Pod | undefined): WirePod | null {
  if (pod === undefined) return null;
  const { namespace, name, uid, serviceAccount = '' } = pod;
  return { namespace, name, uid, service_account: serviceAccount };
}

export function toPod({ namespace, name, uid, service_account: serviceAccount }: Pod__Output): Pod {
  return { namespace, name, uid, ...(serviceAccount === '' ? {} : { serviceAccount }) };
}
