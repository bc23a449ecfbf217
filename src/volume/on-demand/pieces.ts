import type { LateChunks, LateView } from '../../ports/late-views.ts';
import type { ByteSpan } from './byte-span.ts';

/** A layer that is loaded as a whole, or a chunk of one that has a list. */
export type Piece = { readonly layer: number; readonly of?: LateChunks; readonly chunk: number };

/** The pieces of a late view, numbered in the order of its layers. */
export type Pieces = {
  at(number: number): Piece;
  /** The pieces with these bytes of a layer. */
  with(layer: number, bytes: ByteSpan): readonly number[];
  /** The bytes of a chunk; undefined for a whole layer. */
  bytesOf(number: number): ByteSpan | undefined;
  /** Which are to be loaded. */
  states(): readonly ('missing' | 'here')[];
};

export function createPieces(late: Pick<LateView, 'layers' | 'isShown' | 'chunksOf'>): Pieces {
  const chunks = late.layers.map((_, layer) => late.chunksOf(layer));
  const firsts: number[] = [];
  let count = 0;
  for (const of of chunks) {
    firsts.push(count);
    count += of?.count ?? 1;
  }

  const at = (number: number): Piece => {
    let [layer, end] = [0, firsts.length];
    while (end - layer > 1) {
      const middle = (layer + end) >> 1;
      if ((firsts[middle] ?? 0) <= number) layer = middle;
      else end = middle;
    }
    const of = chunks[layer];
    return { layer, ...(of && { of }), chunk: number - (firsts[layer] ?? 0) };
  };
  const isHere = ({ layer, of, chunk }: Piece): boolean => {
    if (of === undefined) return late.isShown(layer);
    if (of.isWhole()) return true;
    // One of them verifies the layer, or says that it is no use.
    const isLast = chunk === of.count - 1;
    if (isLast && (of.hasLied() || of.bytes() === late.layers[layer]?.size)) return false;
    return of.hasLied() || of.isShown(chunk);
  };

  return {
    at,
    with(layer, { offset, length }) {
      const [first = 0, of] = [firsts[layer], chunks[layer]];
      if (of === undefined) return [first];
      const [from, to] = [of.at(offset), of.at(offset + length - 1)];
      return Array.from({ length: to - from + 1 }, (_, step) => first + from + step);
    },
    bytesOf(number) {
      const { of, chunk } = at(number);
      return of && { offset: chunk * of.chunkSize, length: of.chunkSize };
    },
    states: () => Array.from({ length: count }, (_, number) => (isHere(at(number)) ? 'here' : 'missing')),
  };
}
