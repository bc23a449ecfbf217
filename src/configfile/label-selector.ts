import type { Labels } from '../ports/kube.ts';
import { isLabelKey, isLabelName } from '../util/label.ts';
import type { Field, Table } from './field.ts';

/** A Kubernetes LabelSelector: all of it must match. */
export type LabelSelector = readonly Expression[];

type Expression = {
  readonly key: string;
  readonly operator: Operator;
  readonly values: readonly string[];
};
type Operator = (typeof operators)[number];

const operators = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const;

/**
 * Parses a LabelSelector: `matchLabels`, `matchExpressions`, or both. An empty one, or an empty part of it, selects
 * everything, and is an error unless allowed. So is a key or value that is not valid in a label.
 *
 * @throws ArtifactError `invalid` naming line and field.
 */
export function parseLabelSelector(selector: Table, may?: 'be-empty'): LabelSelector {
  selector.only('matchLabels', 'matchExpressions');
  if (selector.keys.length === 0 && may === undefined)
    selector.refuse('selects everything; write matchLabels or matchExpressions');
  return [
    ...toEqualities(selector.table('matchLabels'), may),
    ...(selector.tables('matchExpressions', may) ?? []).map(toExpression),
  ];
}

/** Whether an object with these labels is selected. `NotIn` also selects objects without such a label. */
export function matchesLabels(selector: LabelSelector, labels: Labels): boolean {
  return selector.every(({ key, operator, values }) => {
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
    switch (operator) {
      case 'In':
        return value !== undefined && values.includes(value);
      case 'NotIn':
        return value === undefined || !values.includes(value);
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
    }
  });
}

function toEqualities(labels: Table | undefined, may: 'be-empty' | undefined): LabelSelector {
  if (labels === undefined) return [];
  if (labels.keys.length === 0 && may === undefined) labels.refuse('must have one label at least');
  return labels.keys.map(key => {
    const value = labels.need(key);
    if (!isLabelKey(key)) value.refuse('is no key of a label');
    return { key, operator: 'In', values: [toValue(value)] };
  });
}

function toExpression(entry: Table): Expression {
  entry.only('key', 'operator', 'values');
  const key = entry.need('key');
  const operator = entry.need('operator');
  const name = key.text();
  if (!isLabelKey(name)) key.refuse('is no key of a label');
  const kind = operators.find(one => one === operator.text());
  const values = entry.get('values');
  switch (kind) {
    case 'In':
    case 'NotIn':
      if (values === undefined) return entry.refuse(`has no values, which ${kind} needs`);
      return { key: name, operator: kind, values: values.list().map(toValue) };
    case 'Exists':
    case 'DoesNotExist':
      if (values !== undefined && values.list('be-empty').length > 0)
        values.refuse(`must be left out with ${kind}`);
      return { key: name, operator: kind, values: [] };
    case undefined:
      return operator.refuse(`must be ${operators.join(', ')}`);
  }
}

function toValue(field: Field): string {
  const value = field.text('be-empty');
  return value === '' || isLabelName(value) ? value : field.refuse('is no value that a label can have');
}
