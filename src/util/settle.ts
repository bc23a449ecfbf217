/** Returns all results, or throws the first failure after the others have been aborted and have ended. */
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
