import type { OpenFile } from '../../ports/late-views.ts';

/** Returns what opens a file once for all who use it at a time, and closes it when nobody does. */
export function shareFile(open: () => OpenFile): () => OpenFile {
  let file: OpenFile | undefined;
  let users = 0;
  return () => {
    const { fd } = (file ??= open());
    users++;
    const use = new DisposableStack();
    use.defer(() => {
      users--;
      if (users > 0) return;
      const unused = file;
      file = undefined;
      unused?.[Symbol.dispose]();
    });
    return { fd, [Symbol.dispose]: () => use.dispose() };
  };
}
