// Owns questions about keyed state until the task is between two entries: an answer is of one entry. Bounded; nobody is
// left without an answer when the attempt ends.

import { StreamError } from '#runtime/std/errors.ts';
import type { StatePage, StateQuery } from '#runtime/task/state-query.ts';

/** State as it was behind an entry. */
export interface StateAnswer extends StatePage {
  readonly partition: number;
  readonly entry: number;
  /** Null before the first record. */
  readonly watermarkMs: number | null;
  readonly clockMs: number;
}

interface Question {
  readonly query: StateQuery;
  readonly answered: PromiseWithResolvers<StateAnswer | null>;
}

const QUESTIONS_MAX = 64;

export class StateQuestions {
  readonly #task: string;
  #waiting: Question[] = [];
  #wake: (() => void) | null = null;

  constructor(task: string) {
    this.#task = task;
  }

  get pending(): boolean {
    return this.#waiting.length > 0;
  }

  /** Null: the stage has no such operator. Errors: state-unreadable, config-invalid for a query that cannot be meant. */
  ask(query: StateQuery): Promise<StateAnswer | null> {
    if (this.#wake === null) return Promise.reject(this.#unreadable('does not run now'));
    if (this.#waiting.length === QUESTIONS_MAX) return Promise.reject(this.#unreadable('is asked too much at once'));
    const answered = Promise.withResolvers<StateAnswer | null>();
    this.#waiting.push({ query, answered });
    this.#wake();
    return answered.promise;
  }

  /** The task takes questions from now on; `wake` is called for each. */
  begin(wake: () => void): void {
    this.#wake = wake;
  }

  /** To be called between two entries: answers one. Others run before the next is answered. */
  answer(look: (query: StateQuery) => StateAnswer | null): void {
    const question = this.#waiting.shift();
    if (question === undefined) return;
    const { query, answered } = question;
    try {
      answered.resolve(look(query));
    } catch (error) {
      answered.reject(error);
    }
  }

  end(): void {
    this.#wake = null;
    for (const { answered } of this.#waiting) answered.reject(this.#unreadable('ended'));
    this.#waiting = [];
  }

  #unreadable(why: string): StreamError {
    return new StreamError('state-unreadable', `task ${this.#task} ${why}`, 'ask again when the task runs');
  }
}
