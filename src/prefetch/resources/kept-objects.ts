/**
 * The objects of a kind that a node follows. Each namespace has the same share of the room: if there is no more, those
 * of the namespace with the most make room for those of others.
 */
export type KeptObjects<Item> = {
  /** Adds an object, or replaces the one of its name, if there is room for it. */
  put(key: ObjectKey, parse: () => Item): void;
  remove(key: ObjectKey): void;
  /** Says that a namespace has more objects. */
  leaveOut(namespace: string | undefined): void;
  /** Replaces all objects of a namespace by those of others. */
  adopt(namespace: string, others: KeptObjects<Item>): void;
  items(): readonly Item[];
  /** The objects of a namespace, by name. */
  of(namespace: string | undefined): ReadonlyMap<string, Item>;
  /** The namespaces of which objects were left out; undefined for objects of the cluster. */
  cut(): ReadonlySet<string | undefined>;
};

/** The names of an object. One of the cluster has no namespace. */
export type ObjectKey = { readonly namespace: string | undefined; readonly name: string };

/** @param most objects of all. @param share those of one namespace. */
export function createKeptObjects<Item>(most: number, share: number): KeptObjects<Item> {
  const groups = new Map<string | undefined, Map<string, Item>>();
  const cut = new Set<string | undefined>();

  const of = (namespace: string | undefined): Map<string, Item> => groups.get(namespace) ?? new Map();
  const count = (): number => groups.values().reduce((sum, { size }) => sum + size, 0);

  /** Answers whether there is room now. */
  const makeRoom = (namespace: string | undefined): boolean => {
    const { size } = of(namespace);
    if (namespace !== undefined && size >= share) return false;
    if (count() < most) return true;
    const [largest, group] = [...groups].reduce((a, b) => (b[1].size > a[1].size ? b : a));
    const last = [...group.keys()].at(-1);
    if (group.size <= size + 1 || last === undefined) return false;
    group.delete(last);
    cut.add(largest);
    return true;
  };

  const put = ({ namespace, name }: ObjectKey, parse: () => Item): void => {
    const group = of(namespace);
    if (!group.has(name) && !makeRoom(namespace)) cut.add(namespace);
    else groups.set(namespace, group.set(name, parse()));
  };

  return {
    put,
    remove({ namespace, name }) {
      const group = of(namespace);
      group.delete(name);
      if (group.size === 0) groups.delete(namespace);
    },
    leaveOut: namespace => void cut.add(namespace),
    adopt(namespace, others) {
      groups.delete(namespace);
      cut.delete(namespace);
      for (const [name, item] of others.of(namespace)) put({ namespace, name }, () => item);
      if (others.cut().has(namespace)) cut.add(namespace);
    },
    items: () => [...groups.values()].flatMap(group => [...group.values()]),
    of,
    cut: () => cut,
  };
}
