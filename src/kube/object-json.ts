import { type JsonRules, parseJsonInSteps } from '../util/json.ts';
import { doInSlices } from '../util/pace.ts';

/** Characters of an answer, or of one change, that are read. An object has some MiB at most. */
export const longestAnswer: number = 8 * 1024 * 1024;

/**
 * Whoever may create an object can give it 1.5 MiB of labels and annotations with keys of three characters, and the API
 * lists them again in managedFields. What the API takes, all nodes must be able to read.
 */
const rules: JsonRules = { maxBytes: 4 * longestAnswer, maxKeys: 256 * 1024, maxValues: 512 * 1024 };

/** Parses an object, a list or a change of the API. @throws as `parseJsonInSteps`. */
export function parseObjectJson(
  text: string,
  signal: AbortSignal,
  measure?: JsonRules['measure'],
): Promise<unknown> {
  return doInSlices(parseJsonInSteps(text, { ...rules, measure }), signal);
}
