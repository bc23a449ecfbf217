/** All of them, or the first failure once the others have been told to stop and have stopped. */
export async function settle(works: readonly Promise<void>[], failure: AbortController): Promise<void> {
  let first: { readonly thrown: unknown } | undefined;
  await Promise.all(
    works.map(work =>
      work.catch((thrown: unknown) => {
        first ??= { thrown };
        failure.abort(thrown);
      }),
    ),
  );
  if (first !== undefined) throw first.thrown;
}
