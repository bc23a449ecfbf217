/** The used exports of the client library, by name, so that the build omits the rest: 45 MiB instead of 71. */
export { ApiException, CoreV1Api, KubeConfig, Observable } from '@kubernetes/client-node';
