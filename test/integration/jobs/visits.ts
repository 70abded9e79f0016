// The job of the acceptance of session windows: visits per user with a filling that makes open windows as large as the
// test wants; each record also comes out by itself, numbered, as soon as it was taken.

import { integer, json } from '#checkpoint/codecs.ts';
import { defineJob, type JobDefinition } from '#jobs/define-job.ts';
import { topic } from '#jobs/descriptions.ts';
import { records, valueState } from '#jobs/record-words.ts';
import { session } from '#jobs/window-words.ts';

export interface Visit {
  readonly id: number;
  readonly user: string;
  readonly cents: number;
  readonly at: number;
}

export interface SessionRow {
  readonly user: string;
  readonly from: number;
  readonly to: number;
  readonly ids: readonly number[];
  readonly cents: number;
  /** The filling as its letter and length. */
  readonly filling: string;
}

export interface Taken {
  readonly id: number;
  readonly user: string;
  /** How many of the user came so far. */
  readonly nth: number;
}

export interface VisitsOptions {
  readonly topic: string;
  readonly exchangePartitions: number;
  readonly gap: string;
  readonly outOfOrderness: string;
  /** Bytes of filling in each open session. */
  readonly fillingBytes: number;
}

interface Held {
  readonly ids: readonly number[];
  readonly cents: number;
  readonly filling: string;
}

export default function visits(options: VisitsOptions): JobDefinition {
  const { topic: source, exchangePartitions, fillingBytes, gap, outOfOrderness } = options;
  const held = (ids: readonly number[], cents: number): Held => {
    const filling = String.fromCharCode(97 + (ids.length % 26)).repeat(fillingBytes);
    return { ids, cents, filling };
  };
  const basket = {
    codec: json<Held>(),
    create: () => held([], 0),
    add: (into: Held, { id, cents }: Visit) => held([...into.ids, id], into.cents + cents),
    merge: (a: Held, b: Held) => held([...a.ids, ...b.ids], a.cents + b.cents),
    result: (all: Held) => all,
  };
  return defineJob({
    name: 'visits',
    exchangePartitions,
    source: records<Visit>({ topic: source, timestamp: ({ at }) => at, outOfOrderness, idleness: '1h' }),
    build: (all) => {
      const byUser = all.keyBy('by-user', ({ user }) => user);
      byUser
        .process('taken', {
          state: { count: valueState(integer()) },
          process({ id, user }, { state, emit }) {
            const nth = (state.count.get() ?? 0) + 1;
            state.count.set(nth);
            emit({ id, user, nth } satisfies Taken);
          },
        })
        .to(topic(`${source}.taken`));
      const sessions = byUser
        .window('sessions', session(gap))
        .aggregate(basket, ({ ids, cents, filling }, { key, startMs, endMs }): SessionRow => {
          const summary = `${filling[0]}${filling.length}`;
          const sorted = ids.toSorted((a, b) => a - b);
          return { user: key, from: startMs, to: endMs, ids: sorted, cents, filling: summary };
        });
      sessions.to(topic(`${source}.sessions`));
      sessions.side<Visit>('late').to(topic(`${source}.late`));
    },
  });
}
