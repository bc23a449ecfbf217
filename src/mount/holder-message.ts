/**
 * What a daemon and its holder say: `holder/1 keep`, a line with the version of these words. The daemon asks, and the
 * holder answers each. `take`: the kept files, `held` with them, or `empty`. `keep`, with the files, and `drop`: `done`.
 * `busy`: another daemon is connected.
 */
export type HolderWord = 'take' | 'keep' | 'drop' | 'held' | 'empty' | 'done' | 'busy' | 'refused';

const version = 1;
const line = /^holder\/([1-9][0-9]{0,5}) ([a-z]{1,16})\n$/;
const words: readonly string[] = ['take', 'keep', 'drop', 'held', 'empty', 'done', 'busy', 'refused'];

export function formatWord(word: HolderWord): string {
  return `holder/${version} ${word}\n`;
}

/** @throws Error if it is no such line, or has another version. */
export function parseWord(text: string): HolderWord {
  const [, spoken, word = ''] = line.exec(text) ?? [];
  if (spoken === undefined) throw new Error('the other end does not speak the language of a holder');
  if (Number(spoken) !== version)
    throw new Error(
      `the other end speaks version ${spoken} of the language of a holder, and this one ${version}`,
    );
  if (!words.includes(word)) throw new Error('the other end says an unknown word');
  return word as HolderWord;
}
