/** The state that kubelet keeps on this node. */
export type Kubelet = {
  /** Whether the directory of the pod still exists. */
  hasPod(uid: string): Promise<boolean>;
};
