import { pino } from 'pino';
import { toSettings } from '../../../src/cli/command-line.ts';
import type { Node } from '../../../src/node.ts';
import { openNode } from '../../../src/wiring.ts';
import type { TestNode } from './daemon.ts';

const unmeasured = { bytesPulled() {}, damageFound() {}, pullEnded() {} };

/** The use cases over the state directory of a node, in this process. */
export async function openUseCases(node: TestNode): Promise<Node> {
  const settings = toSettings(
    {
      stateDir: node.stateDir,
      kubeletDir: node.kubeletDir,
      cacheHigh: '100',
      cacheLow: '100',
      diskMax: '100',
    },
    {
      OCI_ARTIFACT_REGISTRIES_CONF: node.registriesConf,
      OCI_ARTIFACT_REGISTRIES_CONF_DIR: node.registriesConfDir,
    },
  );
  return await openNode(settings, pino({ level: 'silent' }), unmeasured);
}
