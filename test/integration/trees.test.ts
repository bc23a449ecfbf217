import { defaultViews } from '../support/node/daemon.ts';

// What holds for images must hold for trees of hard links, too: the same tests, on a filesystem without images.
defaultViews.kind = 'trees';
await import('../adversary/tar.test.ts');
await import('./metrics.test.ts');
await import('./sub-path.test.ts');
await import('./what-a-pod-sees.test.ts');
