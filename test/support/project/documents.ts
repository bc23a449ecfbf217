/** A document of the project: its path from the root, and its text. */
export type Document = { readonly path: string; readonly text: string };

/** Every `--flag` in the text. */
export function findFlags(text: string): readonly string[] {
  return [...new Set(text.match(/(?<![\w-])--[a-z][a-z-]*[a-z]\b/g))];
}

/** Every command `oci-artifact-csi <command>` in the text. */
export function findCommands(text: string): readonly string[] {
  return [...text.matchAll(/(?:^|`)oci-artifact-csi ([a-z]+)/gm)].map(([, command = '']) => command);
}

/** Every metric of this project in the text. */
export function findMetrics(text: string): readonly string[] {
  return [...new Set(text.match(/\b(?:oci_artifact_csi|csi_plugin|process)_[a-z_]+\b/g))];
}

/** Every gRPC method with its full name, `package.Service/Method`. */
export function findMethods(text: string): readonly string[] {
  return [...new Set(text.match(/\b[a-z]+(?:\.[a-z0-9]+)+\.[A-Z]\w+\/[A-Z]\w+/g))];
}

/** The code blocks of a language. */
export function findExamples(text: string, language: string): readonly string[] {
  return [...text.matchAll(/^```(\w+)\n([^]*?)^```$/gm)]
    .filter(([, written]) => written === language)
    .map(([, , code = '']) => code);
}

/** The targets of links inside the project: `docs/flags.md#metrics`. */
export function findLinks(text: string): readonly string[] {
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target)
    .filter(target => !target.includes('://'));
}

/** Source files and directories in backquotes: `volume/pull/pull.ts`, `test/faults/`. */
export function findPaths(text: string): readonly string[] {
  const named = text.match(/(?<=`)(?:\.\/)?[a-z][\w.-]*\/(?:[\w.-]+\/)*(?:[\w.-]+\.ts)?(?=`)/g);
  return [...new Set(named)].filter(path => path.endsWith('.ts') || path.endsWith('/'));
}

/** The anchors of a document's headings, as GitHub makes them. */
export function toAnchors(text: string): readonly string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
