/** What kubelet has on this node. */
export type Kubelet = {
  /** Whether the pod still has its folder. */
  hasPod(uid: string): Promise<boolean>;
};
