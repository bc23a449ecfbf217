import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { servePage } from '../../src/http/page/page-server.ts';
import type { PageUseCases } from '../../src/http/page/page-state.ts';
import type { HttpServer } from '../../src/http/server.ts';
import { nodeStatus, pullsUnderWay, summaries, volume } from '../support/node/samples.ts';
import { type Browser, openBrowser } from '../support/os/browser.ts';
import { needs } from '../support/project/tools.ts';

const evil = '"><img src=x onerror="document.title=1"><script>document.title=2</script>';
const patienceMs = 20_000;

let pulled = 10;

/** The page of a node with hostile names, more volumes than fit, and a pull. */
function openPage(port = 0): Promise<HttpServer> {
  const [summary] = summaries;
  const [pull] = pullsUnderWay;
  assert.ok(summary !== undefined && pull !== undefined);
  const many = Array.from({ length: 150 }, (_, nth) => ({
    ...volume,
    targetPath: `/t/${nth}`,
    pod: { namespace: 'ml', name: `pod-${nth}`, uid: 'u' },
  }));
  const useCases: PageUseCases = {
    status: async () => nodeStatus,
    pulls: async () => [{ ...pull, progress: { ...pull.progress, bytes: pulled, totalBytes: 100 } }],
    volumes: async () => [{ ...volume, reference: evil, damaged: evil }, ...many],
    list: async () => [...summaries, { ...summary, reference: evil, artifactType: evil }],
  };
  return servePage({ host: '127.0.0.1', port }, { nodeId: 'node-1', useCases: () => useCases });
}

/** Waits until an expression in the page is true. */
async function until({ tab }: Browser, expression: string): Promise<void> {
  const end = Date.now() + patienceMs;
  while (!(await tab.evaluate<boolean>(expression))) {
    assert.ok(Date.now() < end, expression);
    await sleep(50);
  }
}

const browser = needs('chromium-headless-shell');

test('the page updates while it is read, and hostile names stay text', browser, async () => {
  await using opened = await openBrowser();
  const { tab } = opened;
  pulled = 10;
  await using page = await openPage();
  await tab.open(`http://127.0.0.1:${page.port}/?volumes=1#pulls`);
  const progress = `document.querySelector('#pulls progress').value`;
  assert.equal(await tab.evaluate(progress), 10);
  await tab.evaluate(`document.querySelector('#volumes .paging a').focus()`);
  pulled = 60;
  await until(opened, `${progress} === 60`);
  assert.equal(await tab.evaluate('document.activeElement.textContent'), 'Next →', 'the focus stays');
  assert.equal(await tab.evaluate('document.title'), `node-1 – ${nodeStatus.daemon?.driverName}`);
  assert.equal(await tab.evaluate(`document.querySelectorAll('img, main script').length`), 0);
  assert.ok(await tab.evaluate(`document.querySelector('#artifacts').textContent.includes('<script>')`));
  await tab.evaluate(`document.querySelector('#volumes .paging a').click()`);
  await until(
    opened,
    `document.querySelector('#volumes .paging')?.textContent.includes('page 2 of 2') === true`,
  );
  assert.deepEqual(tab.complaints(), [], 'neither an error nor a broken policy');
});

test('a daemon that does not answer any more is reported, and so is its return', browser, async () => {
  await using opened = await openBrowser();
  const { tab } = opened;
  await using page = await openPage();
  const { port } = page;
  await tab.open(`http://localhost:${port}/`);
  const hidden = `document.getElementById('live').hidden`;
  assert.equal(await tab.evaluate(hidden), true);
  await page[Symbol.asyncDispose]();
  await until(opened, `${hidden} === false`);
  await using _again = await openPage(port);
  await until(opened, `${hidden} === true`);
});

test('without JavaScript the page has everything, and asks to be loaded again', browser, async () => {
  await using opened = await openBrowser();
  const { tab } = opened;
  await tab.send('Emulation.setScriptExecutionDisabled', { value: true });
  pulled = 20;
  await using page = await openPage();
  await tab.open(`http://127.0.0.1:${page.port}/`);
  assert.equal(await tab.evaluate(`document.querySelector('#pulls progress').value`), 20);
  assert.equal(await tab.evaluate(`document.querySelectorAll('#volumes tbody tr').length`), 100);
  assert.equal(await tab.evaluate(`document.querySelector('noscript > meta').httpEquiv`), 'refresh');
  pulled = 70;
  await until(opened, `document.querySelector('#pulls progress')?.value === 70`);
  await tab.evaluate(`document.querySelector('input').value = 'pod-12'; document.forms[0].submit()`);
  await until(opened, `document.querySelectorAll('#volumes tbody tr').length === 11`);
});

test('the page fits a phone, follows the colors of the system, and names its parts', browser, async () => {
  await using opened = await openBrowser();
  const { tab } = opened;
  await using page = await openPage();
  const ground = `getComputedStyle(document.body).backgroundColor`;
  for (const [width, scheme] of [
    [360, 'light'],
    [1280, 'dark'],
  ] as const) {
    await tab.send('Emulation.setDeviceMetricsOverride', {
      width,
      height: 800,
      deviceScaleFactor: 1,
      mobile: width < 500,
    });
    const features = [{ name: 'prefers-color-scheme', value: scheme }];
    await tab.send('Emulation.setEmulatedMedia', { features });
    await tab.open(`http://127.0.0.1:${page.port}/`);
    const beyond = 'document.documentElement.scrollWidth - document.documentElement.clientWidth';
    assert.equal(await tab.evaluate(beyond), 0, `nothing is beyond ${width} px`);
    const [, red = ''] = /rgb\((\d+)/.exec(await tab.evaluate<string>(ground)) ?? [];
    assert.equal(Number(red) > 128, scheme === 'light');
    assert.ok((await tab.screenshot()).length > 10_000);
  }
  const { nodes } = (await tab.send('Accessibility.getFullAXTree')) as {
    readonly nodes: readonly {
      readonly role?: { readonly value: string };
      readonly name?: { readonly value: string };
    }[];
  };
  const namesOf = (role: string): readonly string[] =>
    nodes.flatMap(node => (node.role?.value === role ? [node.name?.value ?? ''] : []));
  assert.deepEqual(namesOf('heading').slice(0, 2), ['OCI artifacts on node-1', 'Node']);
  assert.ok(namesOf('table').includes('Volumes and their pods'));
  assert.ok(namesOf('columnheader').includes('Last used'));
  assert.ok(namesOf('navigation').includes('Pages of volumes'));
  for (const role of ['table', 'link', 'searchbox', 'progressbar'])
    assert.deepEqual(
      namesOf(role).filter(name => name === ''),
      [],
      role,
    );
});
