import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import { verifyKernel } from './kernel.ts';

test('this kernel can restrict a mount before it is visible', () => {
  verifyKernel();
});

test('a kernel without mount_setattr is refused, and the error names the required version', () => {
  assert.throws(() => verifyKernel(() => constants.errno.ENOSYS), {
    code: 'denied',
    message: /needs Linux 5\.12 or newer/,
  });
});

test('a kernel that forbids mount_setattr is refused, and the error says what the daemon needs', () => {
  assert.throws(() => verifyKernel(() => constants.errno.EPERM), {
    code: 'denied',
    message: /privileged: true/,
  });
});
