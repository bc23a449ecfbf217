import { readFile } from 'node:fs/promises';

/** What became of one spec of csi-sanity; `message` is why it failed or was skipped. */
export type Spec = { readonly name: string; readonly state: string; readonly message: string };

/** The part of ginkgo's JSON report (types.Report) that is read here. */
type Report = {
  readonly SpecReports: readonly {
    readonly ContainerHierarchyTexts: readonly string[] | null;
    readonly LeafNodeText: string;
    readonly LeafNodeType: string;
    readonly State: string;
    readonly Failure?: { readonly Message?: string; readonly FailureNodeLocation?: object };
  }[];
};

/** The specs of Identity and Node in a report; those of the controller are not the driver's. */
export async function readReport(path: string): Promise<readonly Spec[]> {
  const reports = JSON.parse(await readFile(path, 'utf8')) as readonly Report[];
  return reports
    .flatMap(({ SpecReports }) => SpecReports)
    .filter(({ LeafNodeType }) => LeafNodeType === 'It')
    .map(({ ContainerHierarchyTexts, LeafNodeText, State, Failure }) => ({
      name: [...(ContainerHierarchyTexts ?? []), LeafNodeText].join(' '),
      state: State,
      message: Failure?.Message ?? '',
    }))
    .filter(({ name }) => /^(?:Identity|Node) Service /.test(name));
}
