// The job of the acceptance of records whose schemas lie in a registry: logins of any of their schemas come as the job's
// own says, numbered per user.

import { integer } from '#checkpoint/codecs.ts';
import { defineJob, type JobDefinition } from '#jobs/define-job.ts';
import { topic } from '#jobs/descriptions.ts';
import { records, valueState } from '#jobs/record-words.ts';

export interface Login {
  readonly user: string;
  readonly number: number;
  readonly device: string;
}

export interface NumberedLogin extends Login {
  readonly nth: number;
}

export interface LoginsOptions {
  readonly topic: string;
  readonly registry: string;
}

export const LOGIN = {
  type: 'record',
  name: 'Login',
  fields: [
    { name: 'user', type: 'string' },
    { name: 'number', type: 'long' },
    { name: 'device', type: 'string', default: 'unknown' },
  ],
} as const;

export default function logins({ topic: source, registry }: LoginsOptions): JobDefinition {
  return defineJob({
    name: 'logins',
    exchangePartitions: 4,
    source: records<Login>({ topic: source, format: 'avro', avroSchema: LOGIN, registry }),
    build: (all) => {
      all
        .keyBy('by-user', ({ user }) => user)
        .process('numbered', {
          state: { count: valueState(integer()) },
          process(login, { state, emit }) {
            const nth = (state.count.get() ?? 0) + 1;
            state.count.set(nth);
            emit({ ...login, nth } satisfies NumberedLogin);
          },
        })
        .to(topic(`${source}.numbered`));
    },
  });
}
