import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArtifactError } from '../../util/error.ts';
import { about } from './subject.ts';

const digest = `sha256:${'a'.repeat(64)}`;

test('an error that does not name the repository gets the reference before it, and keeps its code', () => {
  const cause = new ArtifactError('unmountable', 'the artifact has no subPath "w"');
  const error = about('registry.example/models/tiny:1', cause);
  assert.equal(error.message, 'registry.example/models/tiny:1: the artifact has no subPath "w"');
  assert.equal(error.code, 'unmountable');
  assert.equal(error.cause, cause);
});

test('an error that names it is left alone, in full or as a short name', () => {
  for (const [reference, message] of [
    [`registry.example/tiny@${digest}`, `registry.example/tiny@${digest} does not exist`],
    ['registry.example/tiny', 'registry.example/tiny:latest does not exist'],
    ['docker.io/busybox:1', 'docker.io/library/busybox:1 is refused'],
    ['tiny:1', 'registry.example/tiny:1 is refused'],
  ] as const) {
    const error = new ArtifactError('denied', message);
    assert.equal(about(reference, error), error);
  }
});

test('content of the repository is named by its digest, after the reference', () => {
  for (const [reference, message, expected] of [
    [
      'registry.example/tiny:1',
      'registry.example/tiny@sha256:…: registry.example answered 503',
      'registry.example/tiny:1: sha256:…: registry.example answered 503',
    ],
    [
      'tiny:1',
      'm answered 404; then docker.io/library/tiny@sha256:… does not exist',
      'tiny:1: m answered 404; then sha256:… does not exist',
    ],
  ] as const) {
    assert.equal(about(reference, new ArtifactError('denied', message)).message, expected);
  }
});

test('an interrupted call is about nothing', () => {
  assert.equal(
    about('tiny:1', new ArtifactError('cancelled', 'the call was cancelled')).message,
    'the call was cancelled',
  );
});
