// Owns the workload of a function with state and timers: values that outlive their time unseen, timers of event time, of
// the past too, and of the clock; behind an exchange or on the source's own partitions.

import { integer, text } from '#checkpoint/codecs.ts';
import { compileJob } from '#jobs/compile.ts';
import { defineJob } from '#jobs/define-job.ts';
import { topic } from '#jobs/descriptions.ts';
import { listState, mapState, records, valueState } from '#jobs/record-words.ts';
import { PresenceModel, type Sign } from '#test/simulation/oracle/presence-model.ts';
import { ForwardModel } from '#test/simulation/oracle/record-model.ts';
import { require } from '#test/simulation/oracle/violation.ts';
import type { Draw, Evidence, Workload } from '#test/simulation/workloads/contract.ts';
import { drawFeed, RecordFeed } from '#test/simulation/workloads/record-feed.ts';
import { judgeRecordJob } from '#test/simulation/workloads/record-judgement.ts';

const SIGNS = 'signs';
const STAGE = 'presence';
const PRESENCE = 'signs.presence';
const PARTITIONS = 2;
const USERS = 6;
const DELAY_MAX_MS = 15_000;
const ACTS = ['note', 'note', 'arm', 'arm', 'disarm', 'clock', 'clear'] as const;

interface Rules {
  readonly local: boolean;
  readonly orderly: boolean;
  readonly ttlMs: number;
  readonly rearmMs: number;
  readonly outOfOrdernessMs: number;
  readonly maxSkewMs: number;
}

export function drawPresence({ orderly, random, settings }: Draw): Workload {
  const rules: Rules = {
    local: random.chance(0.4),
    orderly,
    ttlMs: random.pick([1_000, 7_000, 20_000]),
    rearmMs: random.pick([3_000, 10_000]),
    outOfOrdernessMs: random.pick([0, 2_000, 5_000]),
    maxSkewMs: random.pick([600_000, 10_800_000]),
  };
  const idlenessMs = orderly ? 30_000 : random.pick([1_000, 2_000, 30_000]);
  const job = compileJob(presenceJob(rules, random.range(2, 3), idlenessMs, random.pick(['30s', '1h'])), settings);
  const shape = drawFeed(random, orderly, [20_000, 60_000, 300_000]);
  const closingMs = idlenessMs + rules.outOfOrdernessMs + DELAY_MAX_MS + rules.ttlMs + rules.rearmMs + 8_000;
  return {
    name: 'presence',
    shape: rules.local ? 'local function' : 'exchanged function',
    job,
    upgrades: [],
    sources: { [SIGNS]: PARTITIONS },
    closingMs: idlenessMs < 30_000 ? closingMs : null,
    memoryBytes: random.pick([null, null, 2_000]),
    burstBytesMax: null,
    pagesMax: 0,
    begin: (world, forked) => {
      let n = 0;
      const stream = {
        topic: SIGNS,
        partitions: PARTITIONS,
        record: (_at: number, partition: number) => {
          const one = forked.int(USERS);
          const user = `user-${rules.local ? one - (one % PARTITIONS) + partition : one}`;
          // Some are asked for in the past.
          const delayMs = forked.chance(0.2) ? -forked.int(5_000) : forked.int(DELAY_MAX_MS);
          return { user, n: n++, act: forked.pick(ACTS), delayMs };
        },
      };
      const feed = new RecordFeed(world, { ...rules, shape, streams: [stream] }, forked);
      return { feed, judge: (evidence) => judge(evidence, rules) };
    },
  };
}

function presenceJob(
  { local, maxSkewMs, outOfOrdernessMs, rearmMs, ttlMs }: Rules,
  partitions: number,
  idlenessMs: number,
  keyTtl: string,
) {
  const ttl = `${ttlMs}ms`;
  return defineJob({
    name: 'signs',
    exchangePartitions: partitions,
    source: records<Sign>({
      topic: SIGNS,
      timestamp: ({ at }) => at,
      ...(local ? { partitionedBy: 'producer' } : {}),
      outOfOrderness: `${outOfOrdernessMs}ms`,
      idleness: `${idlenessMs}ms`,
      maxSkew: `${maxSkewMs}ms`,
      keyTtl,
    }),
    build: (signs) => {
      signs
        .keyBy('by-user', ({ user }) => user)
        .process(STAGE, {
          state: {
            total: valueState(integer()),
            armedMs: valueState(integer()),
            recent: valueState(integer(), { ttl }),
            acts: mapState(text(), integer(), { ttl, ttlUpdate: 'read-and-write' }),
            list: listState(integer(), { ttl }),
          },
          process({ act, at, delayMs, n }, { clockMs, emit, state, timers }) {
            const total = (state.total.get() ?? 0) + 1;
            state.total.set(total);
            const recent = (state.recent.get() ?? 0) + 1;
            state.recent.set(recent);
            const before = state.acts.get(act);
            if (act !== 'note') state.acts.set(act, n);
            state.list.add(n);
            emit({ kind: 'sign', n, total, recent, before, list: state.list.get() });
            if (act === 'clear') state.list.clear();
            if (act === 'arm') {
              state.armedMs.set(at + delayMs);
              timers.onEventTime(at + delayMs);
            }
            const armedMs = state.armedMs.get();
            if (act === 'disarm' && armedMs !== null) timers.deleteEventTime(armedMs);
            if (act === 'clock') timers.onClock(clockMs + Math.abs(delayMs));
          },
          onTimer({ kind, timeMs: dueMs }, { clockMs, emit, state, timers, watermarkMs }) {
            const total = state.total.get();
            const recent = state.recent.get();
            if (kind === 'clock') emit({ kind, dueMs, clockMs, total, recent });
            else emit({ kind, dueMs, watermarkMs, total, recent, list: state.list.get() });
            if (kind === 'event-time' && recent !== null) timers.onEventTime(dueMs + rearmMs);
          },
        })
        .to(topic(PRESENCE));
    },
  });
}

function judge(evidence: Evidence, rules: Rules): void {
  const { closed, complete, coverage } = evidence;
  const tasks = judgeRecordJob(evidence, {
    rules: { [SIGNS]: rules },
    exchanges: rules.local ? {} : { [STAGE]: ['records'] },
    topics: [PRESENCE],
    lateTopics: [],
    modelOf: (stage) =>
      stage === STAGE
        ? new PresenceModel({ ...rules, to: PRESENCE })
        : new ForwardModel(STAGE, (value) => (value as Sign).user),
  });
  for (const { model } of tasks) {
    if (!(model instanceof PresenceModel)) continue;
    coverage.add('timers fired', model.fired);
    coverage.add('timers of the clock fired', model.clockFired);
    coverage.add('values outlived their time', model.expired);
    if (!closed) continue;
    coverage.add('closed by idle time');
    require(model.waiting === 0, 'liveness', () => `${model.waiting} timers wait although all sources are idle`);
  }
  if (rules.orderly && complete) judgePlaces(evidence);
}

/** Without any commit log: each sign was counted once, and nothing else was. */
function judgePlaces(evidence: Evidence): void {
  const counted = new Map<string, number>();
  for (const { value } of evidence.output(PRESENCE)) {
    const { kind, n } = JSON.parse(String(value));
    if (kind !== 'sign') continue;
    counted.set(String(n), (counted.get(String(n)) ?? 0) + 1);
  }
  for (const { input, plan } of evidence.tasks) {
    if (plan.input.internal) continue;
    for (const { offset, partition, value } of input) {
      const n = /"n":(\d+)/.exec(String(value))?.[1];
      if (n === undefined) continue;
      const where = () => `sign ${n} of offset ${offset} in ${partition}`;
      require(counted.get(n) === 1, 'order-free-rows', () => `${where()} was counted ${counted.get(n) ?? 0} times`);
      counted.delete(n);
    }
  }
  const [extra] = counted.keys();
  require(extra === undefined, 'order-free-rows', () => `sign ${extra} was never given`);
}
