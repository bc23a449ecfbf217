import type { LeaseObjects } from '../ports/kube-objects.ts';

/** Calls `count` for each request. */
export function countLeases(objects: LeaseObjects, count: () => void): LeaseObjects {
  const counted =
    <Asked extends readonly unknown[], T>(request: (...asked: Asked) => Promise<T>) =>
    (...asked: Asked): Promise<T> => {
      count();
      return request(...asked);
    };
  return {
    get: counted(objects.get),
    create: counted(objects.create),
    replace: counted(objects.replace),
    remove: counted(objects.remove),
  };
}
