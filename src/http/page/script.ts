/** The script of the page: fetches the sections every two seconds while the page is visible, and replaces what changed. */
export const script = `'use strict';
const everyMs = 2000;
const live = document.getElementById('live');
const main = document.querySelector('main');

function replace(text) {
  const next = new DOMParser().parseFromString(text, 'text/html').body;
  const found = [...next.children];
  const ids = found.map(section => section.id);
  for (const old of [...main.children]) if (!ids.includes(old.id)) old.remove();
  found.forEach((section, nth) => {
    const old = document.getElementById(section.id);
    if (old === null) return void main.insertBefore(section, main.children[nth] ?? null);
    if (old.outerHTML === section.outerHTML) return;
    if (old.contains(getSelection().anchorNode) && !getSelection().isCollapsed) return;
    const focused = old.contains(document.activeElement) ? keyOf(document.activeElement) : undefined;
    const scrolled = [...old.querySelectorAll('.scroll')].map(element => element.scrollLeft);
    old.replaceWith(section);
    [...section.querySelectorAll('.scroll')].forEach((element, at) => { element.scrollLeft = scrolled[at] ?? 0; });
    if (focused === undefined) return;
    const same = [...section.querySelectorAll('a, [tabindex]')].find(element => keyOf(element) === focused);
    same?.focus({ preventScroll: true });
  });
}

function keyOf(element) {
  return element.getAttribute('href') ?? element.getAttribute('aria-label') ?? '';
}

async function update() {
  if (document.hidden) return;
  try {
    const answer = await fetch('/sections' + location.search, { cache: 'no-store' });
    if (!answer.ok) throw new Error(String(answer.status));
    replace(await answer.text());
    live.hidden = true;
  } catch {
    live.hidden = false;
  }
}

async function run() {
  for (;;) {
    await new Promise(resolve => setTimeout(resolve, everyMs));
    await update();
  }
}

document.addEventListener('visibilitychange', () => void update());
void run();
`;
