// Owns the workload of session windows: users whose visits come late and out of order, so that sessions merge, are
// corrected and go on; behind an exchange or on the source's own partitions.

import { compileJob } from '#jobs/compile.ts';
import { defineJob } from '#jobs/define-job.ts';
import { topic } from '#jobs/descriptions.ts';
import { records } from '#jobs/record-words.ts';
import { session } from '#jobs/window-words.ts';
import { ForwardModel } from '#test/simulation/oracle/record-model.ts';
import { SessionModel, type Visit } from '#test/simulation/oracle/session-model.ts';
import { require } from '#test/simulation/oracle/violation.ts';
import type { Draw, Evidence, Workload } from '#test/simulation/workloads/contract.ts';
import { drawFeed, RecordFeed } from '#test/simulation/workloads/record-feed.ts';
import { type InterpretedTask, judgeRecordJob } from '#test/simulation/workloads/record-judgement.ts';

const VISITS = 'visits';
const STAGE = 'sessions';
const SESSIONS = 'visits.sessions';
const LATE = 'visits.late';
const PARTITIONS = 2;
const USERS = 6;

interface Rules {
  readonly local: boolean;
  readonly orderly: boolean;
  readonly gapMs: number;
  readonly allowedLatenessMs: number;
  readonly outOfOrdernessMs: number;
  readonly maxSkewMs: number;
}

export function drawSessions({ orderly, random, settings }: Draw): Workload {
  const rules: Rules = {
    local: random.chance(0.3),
    orderly,
    gapMs: random.pick([2_000, 10_000, 30_000]),
    allowedLatenessMs: random.pick([0, 5_000, 60_000]),
    outOfOrdernessMs: random.pick([0, 2_000, 5_000]),
    maxSkewMs: random.pick([600_000, 10_800_000]),
  };
  const idlenessMs = orderly ? 30_000 : random.pick([1_000, 2_000, 30_000]);
  const exchangePartitions = random.range(2, 3);
  const job = compileJob(
    defineJob({
      name: 'visits',
      exchangePartitions,
      source: records<Visit>({
        topic: VISITS,
        timestamp: ({ at }) => at,
        ...(rules.local ? { partitionedBy: 'producer' } : {}),
        outOfOrderness: `${rules.outOfOrdernessMs}ms`,
        idleness: `${idlenessMs}ms`,
        maxSkew: `${rules.maxSkewMs}ms`,
        keyTtl: random.pick(['30s', '1h']),
      }),
      build: (visits) => {
        const sessions = visits
          .keyBy('by-user', ({ user }) => user)
          .window(STAGE, session(`${rules.gapMs}ms`, { allowedLateness: `${rules.allowedLatenessMs}ms` }))
          .aggregate(
            {
              create: (): number[] => [],
              add: (visited, { n }) => {
                visited.push(n);
                return visited;
              },
              result: (visited) => visited,
              merge: (a, b) => [...a, ...b],
            },
            (seen, { key, startMs, endMs, revision }) => ({
              user: key,
              from: startMs,
              to: endMs,
              revision,
              visits: seen,
            }),
          );
        sessions.to(topic(SESSIONS));
        sessions.side<Visit>('late').to(topic(LATE));
      },
    }),
    settings,
  );
  const shape = drawFeed(random, orderly, [60_000, 300_000, 1_200_000]);
  return {
    name: 'sessions',
    shape: rules.local ? 'local sessions' : 'exchanged sessions',
    job,
    upgrades: [],
    sources: { [VISITS]: PARTITIONS },
    closingMs: idlenessMs < 30_000 ? idlenessMs + rules.outOfOrdernessMs + rules.gapMs + 8_000 : null,
    memoryBytes: null,
    burstBytesMax: null,
    pagesMax: 0,
    begin: (world, forked) => {
      let n = 0;
      const user = (partition: number) => {
        const one = forked.int(USERS);
        return `user-${rules.local ? one - (one % PARTITIONS) + partition : one}`;
      };
      const stream = {
        topic: VISITS,
        partitions: PARTITIONS,
        record: (_at: number, partition: number) => ({ user: user(partition), n: n++ }),
      };
      const feed = new RecordFeed(world, { ...rules, shape, streams: [stream] }, forked);
      return { feed, judge: (evidence) => judge(evidence, rules) };
    },
  };
}

function judge(evidence: Evidence, rules: Rules): void {
  const { closed, complete, coverage } = evidence;
  const { allowedLatenessMs, gapMs } = rules;
  const tasks = judgeRecordJob(evidence, {
    rules: { [VISITS]: rules },
    exchanges: rules.local ? {} : { [STAGE]: ['records'] },
    topics: [SESSIONS],
    lateTopics: [LATE],
    modelOf: (stage) =>
      stage === STAGE
        ? new SessionModel({ gapMs, allowedLatenessMs, to: SESSIONS, lateTo: LATE })
        : new ForwardModel(STAGE, (value) => (value as Visit).user),
  });
  for (const { model } of tasks) {
    if (!(model instanceof SessionModel)) continue;
    coverage.add('late visits', model.late);
    coverage.add('sessions merged', model.merged);
    coverage.add('sessions corrected', model.corrected);
    if (!closed) continue;
    coverage.add('closed by idle time');
    require(model.open === 0, 'liveness', () => `${model.open} sessions are open although all sources are idle`);
  }
  if (rules.orderly && complete) judgeOrderFree(evidence, rules, tasks);
}

/** Without any commit log: where nothing is late, sessions follow from the visits alone. */
function judgeOrderFree(
  evidence: Evidence,
  { gapMs, outOfOrdernessMs }: Rules,
  tasks: readonly InterpretedTask[],
): void {
  const oracle = 'order-free-rows';
  const [late] = evidence.output(LATE);
  require(late === undefined, oracle, () => `no visit is late, and one was sent: ${late.value}`);
  const closedMs = new Map<number, number>();
  const byUser = new Map<string, Visit[]>();
  for (const { task, story } of tasks) {
    if (task.plan.input.internal) continue;
    const visits = story.taken.map(({ value }) => value as Visit);
    closedMs.set(task.plan.input.partition, Math.max(...visits.map(({ at }) => at)) - outOfOrdernessMs);
    for (const visit of visits) byUser.set(visit.user, [...(byUser.get(visit.user) ?? []), visit]);
  }
  const expected = new Map<string, number>();
  for (const [user, visits] of byUser) {
    // Exactly a gap apart is together, unless the session had ended by then, which the visits do not tell.
    const times = visits.map(({ at }) => at);
    if (times.some((at) => times.includes(at + gapMs))) {
      byUser.delete(user);
      continue;
    }
    let session: Visit[] = [];
    const end = () => {
      const [first, last] = [session[0], session.at(-1)!];
      const seen = session.map(({ n }) => n).sort((a, b) => a - b);
      expected.set(`${user} ${first.at} ${last.at + gapMs} ${seen}`, last.at + gapMs);
    };
    for (const visit of visits.toSorted((a, b) => a.at - b.at)) {
      if (session.length > 0 && visit.at > session.at(-1)!.at + gapMs) {
        end();
        session = [];
      }
      session.push(visit);
    }
    end();
  }
  const passedMs = Math.min(...closedMs.values());
  for (const { value } of evidence.output(SESSIONS)) {
    const { from, revision, to, user, visits } = JSON.parse(String(value));
    if (!byUser.has(user)) continue;
    const name = `${user} ${from} ${to} ${visits.sort((a: number, b: number) => a - b)}`;
    require(revision === 0 && expected.delete(name), oracle, () => `${value} is no session, or came twice`);
  }
  for (const [name, endMs] of expected) require(endMs > passedMs, oracle, () => `${name} is missing`);
}
