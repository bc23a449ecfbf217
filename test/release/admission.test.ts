import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseAttributes } from '../../src/volume/attributes.ts';
import { needs } from '../support/project/tools.ts';
import { parseManifests, theOnly, verifyManifests } from '../support/release/manifests.ts';
import { renderChart } from '../tools/chart/render.ts';
import { kubernetesSchemas, kubernetesVersions } from '../tools/chart/schemas.ts';

const newest = kubernetesVersions.at(-1) ?? '';
const both = ['--set', 'admission.setReadOnly=true,admission.validate=true'];

type Policy = {
  readonly variables: readonly { readonly name: string; readonly expression: string }[];
  readonly validations: readonly { readonly expression: string }[];
};

function validating(...args: readonly string[]): Policy {
  const set = ['--set', 'admission.validate=true', ...args];
  return theOnly(parseManifests(renderChart({ args: set })), 'ValidatingAdmissionPolicy')['spec'] as Policy;
}

/** The words that the driver itself takes, as its error names them. */
function wordsOf(attributes: Readonly<Record<string, string>>, list: RegExp): readonly string[] {
  try {
    parseAttributes({ reference: 'a.example/b:1', ...attributes });
  } catch (error) {
    return list.exec((error as Error).message)?.[1]?.split(/, | or /) ?? [];
  }
  return [];
}

describe('the admission policies', needs('helm', 'kubeconform'), () => {
  test('are valid, and name what the Kubernetes of the cluster has', () => {
    const text = renderChart({ args: both });
    verifyManifests(text, [kubernetesSchemas(newest)]);
    const versionOf = (kubernetes: string): string =>
      theOnly(parseManifests(renderChart({ args: both, kubernetes })), 'MutatingAdmissionPolicy').apiVersion;
    assert.equal(versionOf(newest), 'admissionregistration.k8s.io/v1');
    assert.equal(versionOf('1.34.0'), 'admissionregistration.k8s.io/v1beta1');
    assert.throws(() => versionOf('1.33.0'), /needs Kubernetes 1\.34/);
    const args = ['--set', 'admission.validate=true'];
    assert.throws(() => renderChart({ args, kubernetes: '1.29.0' }), /needs Kubernetes 1\.30/);
    renderChart({ args, kubernetes: '1.30.0-eks-1' });
  });

  test('know the attributes of the driver, and the words of each', () => {
    const { variables, validations } = validating();
    const known = variables.find(({ name }) => name === 'known')?.expression.match(/\w+/g);
    const attributes = wordsOf({ nobody: 'knows' }, /those that exist are (.*)$/);
    assert.ok(attributes.length > 5);
    assert.deepEqual(known, attributes);
    for (const name of ['pullPolicy', 'unpack', 'loading']) {
      const words = wordsOf({ [name]: 'x' }, /must be (.*)$/);
      assert.ok(words.length >= 2, name);
      const [, listed] =
        validations
          .map(({ expression }) => new RegExp(`v\\.attributes\\.${name} in \\[(.*)\\]`).exec(expression))
          .find(found => found !== null) ?? [];
      assert.deepEqual(listed?.match(/\w+/g), words);
    }
  });

  test('require readOnly only where no policy sets it', () => {
    const asks = ({ validations }: Policy): boolean =>
      validations.some(({ expression }) => expression.includes('readOnly'));
    assert.ok(asks(validating()));
    assert.ok(!asks(validating('--set', 'admission.setReadOnly=true')));
  });

  test('refuse references by expressions of the release', () => {
    const before = validating().validations.length;
    const expressions = JSON.stringify(['^docker\\.io/', `it's "quoted"`]);
    const { validations } = validating('--set-json', `admission.deniedReferences=${expressions}`);
    const added = validations.slice(before).map(({ expression }) => expression);
    assert.equal(added.length, 2);
    assert.ok(added[0]?.includes('matches("^docker\\\\.io/")'));
    assert.ok(added[1]?.includes(`matches("it's \\"quoted\\"")`));
  });
});
