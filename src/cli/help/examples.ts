/** A command line without the program's name, and its description. */
export type Example = readonly [line: string, does: string];

const model = 'ghcr.io/org/model:1';

/** Examples by command, for the help and the manual page. */
export const examples: Readonly<Record<string, readonly Example[]>> = {
  hold: [
    [
      'hold --listen unix:///run/oci-artifact-csi/hold.sock',
      'run it for a daemon with --holder unix:///run/oci-artifact-csi/hold.sock',
    ],
  ],
  serve: [['serve --register', 'run the daemon, and register it with kubelet']],
  pull: [
    [`pull ${model}`, 'cache an artifact before a pod needs it'],
    [`pull --include '*.json' ${model}`, 'cache only some of its files'],
    [`pull --cancel ${model}`, 'end the pulls of it that are under way'],
  ],
  load: [
    ['load layout.tar', 'load what the layout itself names'],
    [`load layout.tar ${model}`, 'give its artifact the reference that pods use'],
  ],
  status: [['status -o json', 'the same as a document']],
  resolve: [[`resolve ${model}`, 'show the digest of a tag']],
  ls: [
    ['ls', 'list by reference'],
    ['ls -q', 'references only'],
  ],
  inspect: [
    [`inspect ${model}`, 'show its layers and the verdict of the signature policy'],
    [`inspect --credentials ${model}`, 'show which credentials a pull would use'],
    [`inspect --credentials --pod shop/web-0 ${model}`, 'the same for a pod'],
  ],
  rm: [[`rm ${model}`, 'remove one reference']],
  prune: [
    ['prune --dry-run', 'list what would be freed'],
    ['prune --yes', 'free it without a question, as in a script'],
  ],
  pin: [[`pin ${model}`, 'keep it, whether a pod uses it or not']],
  unpin: [[`unpin ${model}`, 'let garbage collection have it again']],
  volumes: [['volumes --no-trunc', 'with whole digests']],
  mount: [[`mount ${model} /mnt/model`, 'mount an artifact for yourself']],
  unmount: [['unmount /mnt/model', 'unmount it again']],
  fsck: [
    ['fsck', 'report damage'],
    ['fsck --repair', 'report it, and take damaged content out of use'],
  ],
  chunks: [['chunks model.gguf', 'write model.gguf.chunks, and print how to push both']],
  completion: [
    ['completion bash', 'write it to /etc/bash_completion.d/oci-artifact-csi'],
    ['completion zsh', 'write it to a file _oci-artifact-csi in a directory of fpath'],
    ['completion fish', 'write it to /etc/fish/completions/oci-artifact-csi.fish'],
  ],
  man: [['man | man -l -', 'show the page']],
  version: [['version -o json', 'the same as a document']],
};
