// Owns the words behind a command of a script, looked up by the word before them.

import { timeOf } from '#test/operators/scripts/script-time.ts';

/** Words and what follows each: `gap 5s count 3 purge` → gap: '5s', count: '3', purge: 'purge'. */
export class Words {
  readonly #words: readonly string[];

  constructor(words: readonly string[]) {
    this.#words = words;
  }

  has(word: string): boolean {
    return this.#words.includes(word);
  }

  after(word: string, places = 1): string | null {
    const at = this.#words.indexOf(word);
    return at < 0 ? null : this.#words[at + places];
  }

  time(word: string): number {
    const text = this.after(word);
    return text === null ? 0 : timeOf(text);
  }
}
