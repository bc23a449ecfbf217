import { setTimeout as sleep } from 'node:timers/promises';
import { ArtifactError } from '../../util/error.ts';
import { quoteName } from '../../util/name.ts';
import type { HealthHandlers } from '../wire/grpc/health/v1/Health.ts';
import { type Edge, serverStream, unary } from './call.ts';

type Answer = 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN';

/** How often the state of a watched service is checked, ms. */
const pace = 1000;

/** grpc.health.v1.Health. All services are as ready as the daemon. `services` are full names. */
export function healthHandlers(
  edge: Edge,
  services: readonly string[],
  ready: () => boolean,
): HealthHandlers {
  const look = (service: string): Answer => {
    if (service !== '' && !services.includes(service)) return 'SERVICE_UNKNOWN';
    return ready() ? 'SERVING' : 'NOT_SERVING';
  };
  return {
    Check: unary(edge, async ({ service }) => {
      const answer = look(service);
      if (answer === 'SERVICE_UNKNOWN') {
        throw new ArtifactError(
          'not-found',
          `there is no service ${quoteName(service)}; there are ${services.join(', ')}`,
        );
      }
      return { status: answer };
    }),
    Watch: serverStream(edge, async ({ service }, send, { signal }) => {
      for (let last: Answer | undefined; ; ) {
        const answer = look(service);
        if (answer !== last) await send({ status: answer });
        last = answer;
        await sleep(pace, undefined, { signal });
      }
    }),
  };
}
