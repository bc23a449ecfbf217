import { oids } from './x509.ts';
import { type Chain, constraints, kinds, names, type Spec } from './x509-chains.ts';
import { oddities } from './x509-oddities.ts';

const usualAuthority: Spec = {
  key: 'P-256',
  basic: 'authority',
  usage: 'certificates',
  purposes: undefined,
  permitted: [],
  excluded: [],
  constraintsCritical: true,
  names: [],
  validity: 'now',
  oddity: 'none',
};
const usualLeaf: Spec = {
  ...usualAuthority,
  basic: 'none',
  usage: 'signing',
  purposes: [oids.codeSigning],
  names: ['email:jane@example.com'],
};

/** Chains of a root, an intermediate and a leaf with one invalid property of one certificate. */
function* deviateOnce(): Generator<Chain> {
  const chain = [usualAuthority, usualAuthority, usualLeaf];
  const changes: readonly Partial<Spec>[] = [
    {},
    ...oddities.map(oddity => ({ oddity })),
    ...kinds.map(key => ({ key })),
    ...(['none', 'no authority', 0, 1, 'authority'] as const).map(basic => ({ basic })),
    ...(['signing', 'certificates', 'crls', 'none'] as const).map(usage => ({ usage })),
    ...[undefined, [oids.codeSigning], [oids.serverAuth], [oids.anyPurpose]].map(purposes => ({
      purposes,
    })),
    ...(['past', 'future'] as const).map(validity => ({ validity })),
  ];
  for (const change of changes) {
    for (const position of chain.keys()) {
      yield chain.map((spec, index) => (index === position ? { ...spec, ...change } : spec));
    }
  }
  // Two intermediates, of which the first may have none below it.
  for (const basic of [0, 1]) {
    yield [usualAuthority, { ...usualAuthority, basic }, usualAuthority, usualLeaf];
    yield [
      usualAuthority,
      { ...usualAuthority, basic },
      { ...usualAuthority, oddity: 'self-issued' },
      usualLeaf,
    ];
  }
}

/** Each constraint, permitted and excluded, critical and not, of a root or an intermediate, against each name. */
function* constrain(): Generator<Chain> {
  for (const name of names) {
    for (const constraint of constraints) {
      for (const kind of ['permitted', 'excluded'] as const) {
        const constraintsCritical = (names.indexOf(name) + constraints.indexOf(constraint)) % 2 === 0;
        const constrained = { ...usualAuthority, [kind]: [constraint], constraintsCritical };
        yield [usualAuthority, constrained, { ...usualLeaf, names: [name] }];
      }
    }
  }
  for (const constraintsCritical of [true, false]) {
    const own = ['email:other.org'] as const;
    yield [{ ...usualAuthority, permitted: own, constraintsCritical }, usualAuthority, usualLeaf];
    yield [usualAuthority, { ...usualAuthority, permitted: own, constraintsCritical }, usualLeaf];
  }
}

/** Every kind of deviation, alone. */
export const deviations: readonly Chain[] = [...deviateOnce(), ...constrain()];
