/**
 * What `dist/main.js` holds: the first line of the source, and a program that an older Node can parse as well, so that it
 * can say what is wrong.
 */
export function toLauncher(source: string): string {
  const [shebang = ''] = source.split('\n');
  return `${shebang}
const { versions, execPath } = process;
if (Number(versions.node.split('.')[0]) >= 26) await import(process.argv[2] === 'serve' ? './daemon.js' : './program.js');
else {
  console.error(
    \`oci-artifact-csi needs Node 26 or later, but \${execPath} is Node \${versions.node}; put node_modules/.bin of the project first in PATH\`,
  );
  process.exitCode = 1;
}
`;
}
