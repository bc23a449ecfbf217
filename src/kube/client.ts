/** What is used of the client library, by name, so that the build leaves out the rest of it: 45 MiB instead of 71. */
export { ApiException, CoreV1Api, KubeConfig, Observable } from '@kubernetes/client-node';
