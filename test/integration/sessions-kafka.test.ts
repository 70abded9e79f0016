// The acceptance of session windows: visits of 4 partitions, sessions of users over an exchange of 6, open ones several
// times what memory may hold, through kill -9 at random moments. Some sessions are made one by a visit that comes only
// after the kill, some visits come when their session is over. The oracle sorts and splits. MILLRACE_TEST_SEED repeats a run.

import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { sharedKafka, uniqueName } from '#test/harness/shared-kafka.ts';
import type { SessionRow, Taken, Visit } from './jobs/visits.ts';
import { Random } from './oracle/random.ts';
import { Installation, type Product } from './process-harness.ts';
import { type FedRecord, RecordRun, swappedBytes } from './record-run.ts';

const SEED = Number(process.env['MILLRACE_TEST_SEED'] ?? 20261121);
const PARTITIONS = 4;
const USERS = 2_000;
const VISITS = 16_000;
const KILLS = 5;
const GAP_MS = 45_000;
const BOUND_MS = 180_000;
const SPAN_MS = 720_000;
const FILLING_BYTES = 6_000;
/** Users of each kill whose two sessions become one behind it. */
const BRIDGES = 40;
const LATE_MAX = 40;
const CLOSING = 'closing';

/** Visits in the order they are written, out of order within the bound. */
function visitsOf(random: Random, startMs: number): Visit[] {
  const drafts = Array.from({ length: VISITS }, (_, id) => {
    const at = startMs + Math.floor((id * SPAN_MS) / VISITS);
    return { visit: { id, user: `user-${random.integer(USERS)}`, cents: random.integer(10_000), at }, place: 0 };
  });
  for (const draft of drafts) draft.place = draft.visit.at + random.integer(BOUND_MS - 10_000);
  return drafts.sort((a, b) => a.place - b.place || a.visit.id - b.visit.id).map(({ visit }) => visit);
}

/** What sessions must come out of visits that were not late. */
function sessionsOf(visits: readonly Visit[]): SessionRow[] {
  const rows: SessionRow[] = [];
  for (const [user, own] of Map.groupBy(visits, (visit) => visit.user)) {
    if (user.startsWith(CLOSING)) continue;
    let open: Visit[] = [];
    const close = () => {
      if (open.length === 0) return;
      const letter = String.fromCharCode(97 + (open.length % 26));
      rows.push({
        user,
        from: open[0].at,
        to: open[open.length - 1].at + GAP_MS,
        ids: open.map(({ id }) => id).sort((a, b) => a - b),
        cents: open.reduce((sum, { cents }) => sum + cents, 0),
        filling: `${letter}${FILLING_BYTES}`,
      });
    };
    for (const visit of own.toSorted((a, b) => a.at - b.at)) {
      if (open.length > 0 && visit.at > open[open.length - 1].at + GAP_MS) {
        close();
        open = [];
      }
      open.push(visit);
    }
    close();
  }
  return rows;
}

const textOf = (row: SessionRow) => {
  const { user, from, to, ids, cents, filling } = row;
  return `${user} [${from},${to}) ${ids.join()} ${cents} ${filling}`;
};

function differences(actual: readonly string[], expected: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const text of expected) left.set(text, (left.get(text) ?? 0) + 1);
  for (const text of actual) left.set(text, (left.get(text) ?? 0) - 1);
  return [...left].filter(([, n]) => n !== 0).map(([text, n]) => `${n > 0 ? 'missing' : 'too often'}: ${text}`);
}

/** The visits of the run, written and remembered. */
class Writer {
  readonly written: Visit[] = [];
  readonly late: Visit[] = [];
  #nextId = 1_000_000;
  readonly #run: RecordRun;
  readonly #topic: string;

  constructor(run: RecordRun, topic: string) {
    this.#run = run;
    this.#topic = topic;
  }

  async write(visits: readonly Visit[], late = false): Promise<void> {
    (late ? this.late : this.written).push(...visits);
    await this.#run.write(
      visits.map(({ user, ...rest }): FedRecord => {
        const partition = Number(user.slice(user.lastIndexOf('-') + 1)) % PARTITIONS;
        return { topic: this.#topic, partition, key: user, value: { user, ...rest }, at: rest.at };
      }),
    );
  }

  /** A visit beside those of the random users. */
  extra(user: string, at: number): Visit {
    return { id: this.#nextId++, user, cents: 7, at };
  }
}

test('sessions on LevelDB with more state than memory come out once, whole, through kills; late visits go aside', async () => {
  const { brokers } = await sharedKafka();
  const random = new Random(SEED);
  const namespace = uniqueName('visits');
  const source = `${namespace}.visits`;
  const nowMs = Date.now();
  const visits = visitsOf(random, nowMs - SPAN_MS - BOUND_MS);
  const options = {
    topic: source,
    exchangePartitions: 6,
    gap: `${GAP_MS / 1000}s`,
    outOfOrderness: `${BOUND_MS / 1000}s`,
    fillingBytes: FILLING_BYTES,
  };
  const job = {
    module: 'test/integration/jobs/visits.ts',
    parallelism: 2,
    checkpointInterval: '1s',
    state: 'leveldb',
    options,
  } as const;
  const installation = await Installation.create({ brokers, namespace, stateMemory: '16MiB', jobs: { visits: job } });
  const [taken, sessions, late] = ['taken', 'sessions', 'late'].map((name) => `${source}.${name}`);
  const run = await RecordRun.open(brokers, { [source]: PARTITIONS }, [taken, sessions, late]);
  const writer = new Writer(run, source);
  const takenBy = (product: Product, ids: readonly number[]) => {
    const all = (values: readonly Taken[]) => {
      const seen = new Set(values.map(({ id }) => id));
      return ids.every((id) => seen.has(id));
    };
    return run.waitFor(taken, all, 'visits to be taken', { product, installation });
  };
  let swapped = 0;
  let at = 0;
  const writeNext = async () => {
    const chunk = visits.slice(at, at + Math.ceil(VISITS / (KILLS + 1)));
    at += chunk.length;
    await writer.write(chunk);
  };
  try {
    let bridges: Visit[] = [];
    for (let kill = 0; kill < KILLS; kill++) {
      const product = installation.start();
      // First of all what makes one session of two: their state is from before the kill.
      await writer.write(bridges);
      await writeNext();
      const atMs = Math.max(...writer.written.map((visit) => visit.at)) - 60_000;
      const users = Array.from({ length: BRIDGES }, (_, i) => `bridge-${kill * BRIDGES + i}`);
      const ends = users.flatMap((user) => [writer.extra(user, atMs), writer.extra(user, atMs + 2 * GAP_MS - 1)]);
      await writer.write(ends);
      bridges = users.map((user) => writer.extra(user, atMs + GAP_MS));
      const ids = ends.map(({ id }) => id);
      await takenBy(product, ids);
      await sleep(random.integer(1_500));
      swapped = Math.max(swapped, await swappedBytes(installation));
      await product.kill();
    }
    const product = installation.start();
    await writer.write(bridges);
    await writeNext();
    const over = random.shuffled(run.seen<SessionRow>(sessions)).slice(0, LATE_MAX);
    expect(over.length).toBeGreaterThan(0);
    await writer.write(
      over.map(({ user, from }) => writer.extra(user, from)),
      true,
    );
    const closing = Array.from({ length: PARTITIONS }, (_, i) => writer.extra(`${CLOSING}-${i}`, nowMs + 300_000));
    await writer.write(closing);
    const expected = sessionsOf(writer.written).map(textOf);
    const enough = (rows: readonly SessionRow[]) => rows.length >= expected.length;
    const by = { product, installation };
    await run.waitFor<SessionRow>(sessions, enough, 'all sessions', by).catch((error) => {
      process.stderr.write(`${error.message}\n`);
    });
    await takenBy(
      product,
      [...writer.written, ...writer.late].map(({ id }) => id),
    );
    swapped = Math.max(swapped, await swappedBytes(installation));
    expect((await product.stop()).code).toBe(0);
    const rows = await run.finish<SessionRow>(sessions);
    expect(differences(rows.map(textOf), expected).slice(0, 10)).toEqual([]);
    const merged = rows.filter(({ user }) => user.startsWith('bridge-'));
    expect(merged.map(({ ids }) => ids.length)).toEqual(Array(KILLS * BRIDGES).fill(3));
    const aside = (await run.finish<Visit>(late)).map(({ id }) => id).sort((a, b) => a - b);
    expect(aside).toEqual(writer.late.map(({ id }) => id));
    expect(takenFaults(await run.finish<Taken>(taken), [...writer.written, ...writer.late])).toEqual([]);
    expect(swapped).toBeGreaterThan(4 << 20);
  } finally {
    await installation.remove();
    await run.close();
  }
}, 600_000);

/** Each visit once, those of a user numbered without a gap in the order of the log. */
function takenFaults(taken: readonly Taken[], visits: readonly Visit[]): string[] {
  const expected = [...Map.groupBy(visits, ({ user }) => user)].flatMap(([user, own]) =>
    own.map(({ id }, place) => `${user} ${place + 1} ${id}`),
  );
  const actual = taken.map(({ user, nth, id }) => `${user} ${nth} ${id}`);
  return differences(actual, expected).slice(0, 10);
}
