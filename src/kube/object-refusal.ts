import type { KubePath } from '../ports/kube-objects.ts';
import { ArtifactError } from '../util/error.ts';
import { isObject, parseJson } from '../util/json.ts';
import type { KubeAnswer } from './api-request.ts';

const reads: readonly string[] = ['get', 'list', 'watch'];

/** What the API refused, and the RBAC rule that is missing. */
export function toRefusal(
  { code, text }: Pick<KubeAnswer, 'code' | 'text'>,
  verb: string,
  path: KubePath,
  server: string,
): ArtifactError {
  const message = messageOf(text);
  const answer = `the Kubernetes API at ${server} answered ${code}${message === '' ? '' : ` (${message})`}`;
  const { group, resource, namespace } = toParts(path);
  switch (code) {
    case 401:
      return new ArtifactError(
        'denied',
        `${answer}: it does not know this daemon; check its service account, or KUBECONFIG`,
      );
    case 403: {
      const where = namespace === undefined ? '' : ` in the namespace ${namespace}`;
      const rule = `{apiGroups: ["${group}"], resources: [${resource}], verbs: [${verb}]}`;
      return new ArtifactError(
        'denied',
        `this daemon may not ${verb} ${resource}${where}; bind its service account to a role with the rule ${rule}: ${answer}`,
      );
    }
    case 404:
      return new ArtifactError('not-found', `${answer}: it has no such ${resource}`);
    case 400:
    case 422: // what was sent; a read sends nothing
      return new ArtifactError(reads.includes(verb) ? 'unavailable' : 'invalid', answer);
    default:
      return new ArtifactError('unavailable', answer);
  }
}

/** The group, the resource with its subresource, and the namespace of a path. */
function toParts([root, ...rest]: KubePath) {
  const group = root === 'api' ? '' : (rest[0] ?? '');
  const names = rest.slice(root === 'api' ? 1 : 2);
  const namespace = names[0] === 'namespaces' && names.length > 2 ? names[1] : undefined;
  const [kind = '', , part] = namespace === undefined ? names : names.slice(2);
  return { group, resource: part === undefined ? kind : `${kind}/${part}`, namespace };
}

/** The message of a Status, which names user, verb and object. */
function messageOf(body: string): string {
  try {
    const status = parseJson(body);
    const message = isObject(status) ? status['message'] : undefined;
    return typeof message === 'string' ? message.slice(0, 512) : '';
  } catch {
    return '';
  }
}
