import { formatArtifacts } from './artifacts-section.ts';
import { formatFailing } from './failing-section.ts';
import { type Html, html } from './html.ts';
import { formatNode } from './node-section.ts';
import type { PageState } from './page-state.ts';
import { formatPrefetch } from './prefetch-section.ts';
import { formatPulls } from './pulls-section.ts';
import type { PageQuery } from './query.ts';
import { formatVolumes } from './volumes-section.ts';

/** How often the page is loaded again without JavaScript, in seconds. */
const refreshSeconds = 10;

/** The page of the node. */
export function formatDocument(state: PageState, query: PageQuery): string {
  const { driverName = 'oci-artifact-csi' } = state.status.daemon ?? {};
  return formatPage(
    `${state.nodeId} – ${driverName}`,
    html`<link rel="icon" href="/icon.svg" type="image/svg+xml">
<script src="/page.js" defer></script>
<noscript><meta http-equiv="refresh" content="${refreshSeconds}"></noscript>
`,
    html`<header>
<h1>OCI artifacts <span class="off">on</span> <bdi>${state.nodeId}</bdi></h1>
<form method="get" action="/" role="search"><label>Search <input type="search" name="search" value="${query.search}" maxlength="200" placeholder="pod, artifact or digest"></label></form>
<p id="live" role="status" hidden>The daemon does not answer. What you see is old.</p>
</header>
<main>
${formatSections(state, query)}</main>
<footer>This page only shows. Change things by <code>oci-artifact-csi</code> on the node.</footer>
`,
  );
}

/** What changes: the script of the page fetches it again and again. */
export function formatSections(state: PageState, query: PageQuery): Html {
  return html`${formatNode(state)}${formatFailing(state)}${formatPulls(state)}${formatPrefetch(state)}${formatVolumes(state, query)}${formatArtifacts(state, query)}`;
}

/** The page of a daemon that waits for another one, or opens the cache. */
export function formatWaiting(nodeId: string, reason: string): string {
  return formatPage(
    nodeId,
    html`<meta http-equiv="refresh" content="2">
`,
    html`<main><section><h1><bdi>${nodeId}</bdi></h1><p role="status">${reason}</p></section></main>
`,
  );
}

function formatPage(title: string, head: Html, body: Html): string {
  const { markup } = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="stylesheet" href="/page.css">
${head}</head>
<body>
${body}</body>
</html>
`;
  return markup;
}
