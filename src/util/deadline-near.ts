/** The abort reason of a call whose deadline is near while its work continues. */
export class DeadlineNear extends Error {
  override readonly name = 'DeadlineNear';
}
