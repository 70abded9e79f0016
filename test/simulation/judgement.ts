// Owns the verdict on a finished run: hands what the world's logs ever held to the oracles, from the commit logs up.

import type { Coverage } from '#test/simulation/coverage.ts';
import type { InputData } from '#test/simulation/input-data.ts';
import type { Installation, TaskRecord } from '#test/simulation/installation.ts';
import { type ArchivedRecord, committedRecords } from '#test/simulation/oracle/archive.ts';
import { type CommittedEntry, judgeTransactions, readChain } from '#test/simulation/oracle/commit-chain.ts';
import { decodeExchanged } from '#test/simulation/oracle/exchange-records.ts';
import { judgeOrderFree } from '#test/simulation/oracle/order-free-rows.ts';
import { rerun, type StateSeen } from '#test/simulation/oracle/rerun.ts';
import { type ModelRow, RESOLUTIONS, RollupModel } from '#test/simulation/oracle/rollup-model.ts';
import type { StoredCheckpoints } from '#test/simulation/oracle/stored-checkpoints.ts';
import {
  type BadRecord,
  interpretExchange,
  interpretSource,
  type LateSample,
} from '#test/simulation/oracle/task-model.ts';
import {
  entriesByTransaction,
  judgeDeadLetters,
  judgeExchange,
  judgeLate,
  judgeRows,
  Placement,
} from '#test/simulation/oracle/verdict.ts';
import { require } from '#test/simulation/oracle/violation.ts';
import { type Scenario, SOURCE } from '#test/simulation/scenario.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';

/** Files one task may have in the end: three checkpoints, their segments, and the one under way. */
const FILES_MAX = 60;
/** Results that a window hands on together. */
const ROWS_AT_ONCE = 256;
const ROW_BYTES_MAX = 600;

export async function judgeRun(installation: Installation, input: InputData, stored: StoredCheckpoints): Promise<void> {
  const judgement = new Judgement(installation);
  judgement.transactions();
  judgement.ownership();
  judgement.meaning();
  judgement.idleness(input);
  judgement.size();
  const { filesMax } = stored;
  require(filesMax <= filesAllowed(installation.scenario), 'memory', () => `a task keeps ${filesMax} files`);
  await judgement.rerun();
}

/** Where a snapshot may hold hardly a page, the pages of a crowd go into a segment each. */
function filesAllowed({ input, job }: Scenario): number {
  return FILES_MAX + (job.settings.snapshotBytesMax < 10_000 ? input.crowd : 0);
}

class Judgement {
  readonly #installation: Installation;
  readonly #scenario: Scenario;
  readonly #chains = new Map<string, readonly CommittedEntry[]>();
  readonly #sources: readonly TaskRecord[];
  readonly #readers: readonly TaskRecord[];
  readonly #rows: ArchivedRecord[];
  readonly #late: ArchivedRecord[];
  readonly #bad: ArchivedRecord[];
  /** By partition of the exchange. */
  readonly #exchange: ArchivedRecord[][] = [];

  constructor(installation: Installation) {
    const { scenario, tasks, world } = installation;
    this.#installation = installation;
    this.#scenario = scenario;
    const all = [...tasks.values()];
    this.#sources = all.filter(({ plan }) => !plan.input.internal);
    this.#readers = all.filter(({ plan }) => plan.input.internal);
    for (const [name, { plan }] of tasks) {
      this.#chains.set(name, readChain(committedRecords(world, plan.commitTopic, plan.identity.partition), name));
    }
    const whole = (topic: string) =>
      world.cluster.topics.get(topic)!.partitions.flatMap(({ partition }) => committedRecords(world, topic, partition));
    this.#rows = RESOLUTIONS.flatMap(([resolution]) => whole(`metrics.rollup.${resolution}`));
    this.#late = whole(`${SOURCE}.late`);
    this.#bad = whole(`${SOURCE}.dead-letter`);
    for (const { plan } of this.#readers) {
      this.#exchange.push(committedRecords(world, plan.input.topic, plan.input.partition));
    }
  }

  transactions(): void {
    judgeTransactions(this.#chains, [...this.#rows, ...this.#late, ...this.#bad, ...this.#exchange.flat()]);
  }

  /** Whoever owns a task later shuts out the others first: an entry of theirs never follows one of its own. */
  ownership(): void {
    for (const [name, { traces }] of this.#installation.tasks) {
      let newest = -1;
      for (const { number, bytes } of this.#chains.get(name)!) {
        const senders = traces.filter(({ sent }) => sent.some((one) => one.bytes.equals(bytes)));
        const processes = senders.map(({ process }) => process);
        const text = () => `${name}: entry ${number} of process ${processes} follows one of process ${newest}`;
        require(Math.max(...processes) >= newest, 'ownership', text);
        newest = Math.max(newest, Math.min(...processes));
      }
    }
  }

  /** An entry with nothing but timers' rows ends soon after `commitBytesMax`: windows hand on so many rows at once. */
  size(): void {
    const { allowedLatenessMs, job } = this.#scenario;
    if (allowedLatenessMs > 0) return;
    const sizes = new Map<string, number>();
    for (const { transaction, key, value } of this.#rows) {
      const bytes = (key?.length ?? 0) + (value?.length ?? 0);
      sizes.set(String(transaction), (sizes.get(String(transaction)) ?? 0) + bytes);
    }
    const bytesMax = job.settings.commitBytesMax + ROWS_AT_ONCE * ROW_BYTES_MAX;
    for (const [transaction, bytes] of sizes) {
      require(bytes <= bytesMax, 'memory', () => `transaction ${transaction} has ${bytes} bytes of rows`);
    }
  }

  /** What was put out is what the entries' inputs mean. */
  meaning(): void {
    const { scenario, coverage } = this.#installation;
    const rows = new Map<string, readonly ModelRow[]>();
    const late: LateSample[] = [];
    const bad: BadRecord[] = [];
    const placement = new Placement();
    const entryOf = entriesByTransaction(this.#chains);
    const exchanged = this.#exchange.map((records) => records.map(decodeExchanged));
    const input: ArchivedRecord[] = [];
    for (const { plan } of this.#sources) {
      const name = `${plan.identity.stage}/${plan.identity.partition}`;
      const model = scenario.shape === 'exchange' ? null : new RollupModel(scenario.allowedLatenessMs);
      const records = committedRecords(this.#installation.world, SOURCE, plan.input.partition);
      input.push(...records);
      const story = interpretSource(this.#chains.get(name)!, records, scenario, model);
      late.push(...story.late);
      bad.push(...story.bad);
      if (model !== null) {
        rows.set(name, model.rows);
        this.#closed(model);
      } else {
        const shape = { placement, partitionCount: exchanged.length, entryOf };
        judgeExchange(plan.identity.partition, name, story, exchanged.flat(), shape);
      }
    }
    for (const [at, { plan }] of this.#readers.entries()) {
      const name = `${plan.identity.stage}/${plan.identity.partition}`;
      const model = new RollupModel(scenario.allowedLatenessMs);
      late.push(...interpretExchange(this.#chains.get(name)!, exchanged[at], plan.writers, model));
      rows.set(name, model.rows);
      this.#closed(model);
    }
    judgeDeadLetters(this.#bad, bad, entryOf);
    judgeLate(this.#late, late, entryOf);
    const complete = !this.#installation.damaged;
    judgeRows(this.#rows, rows, { placement, partitionCount: scenario.sourcePartitions, entryOf, complete });
    if (scenario.orderly && complete) this.#orderFree(input);
    coverage.add('rows', this.#rows.length);
    coverage.add('late samples', late.length);
    coverage.add('dead letters', bad.length);
    coverage.add('corrections', [...rows.values()].flat().filter(({ revision }) => revision > 0).length);
  }

  #closed(model: RollupModel): void {
    const { coverage, damaged } = this.#installation;
    if (!this.#scenario.closes || damaged) return;
    coverage.add('closed by idle time');
    require(model.openMinute === null, 'liveness', () => `${model.openMinute} is open although all sources are idle`);
  }

  #orderFree(records: readonly ArchivedRecord[]): void {
    const { outOfOrdernessMs, sourcePartitions: partitionCount } = this.#scenario;
    const latestMs = WORLD_EPOCH_MS + 86_400_000;
    judgeOrderFree({ records, partitionCount, outOfOrdernessMs, latestMs }, this.#rows, this.#late);
  }

  /**
   * An idle entry leaves nothing unread that was there when it began. Needs clocks that tell the world's time, and a
   * log that shows its true end.
   */
  idleness(input: InputData): void {
    if (this.#scenario.clockJumps || this.#scenario.faults.fetchLag > 0) return;
    for (const { plan } of this.#sources) {
      const name = `${plan.identity.stage}/${plan.identity.partition}`;
      for (const { idleSinceMs, endOffset, clockMs, number } of this.#chains.get(name)!) {
        if (idleSinceMs === null) continue;
        this.#installation.coverage.add('idle entries');
        for (const { partition, atMs, endOffset: written } of input.arrivals) {
          if (partition !== plan.input.partition || written <= endOffset) continue;
          const unread = () => `${name} entry ${number} is idle and left offset ${written - 1} unread for a while`;
          require(WORLD_EPOCH_MS + atMs > clockMs - UNREAD_MAX_MS, 'idleness', unread);
        }
      }
    }
  }

  async rerun(): Promise<void> {
    const { world, coverage, tasks } = this.#installation;
    const counts: Record<string, number> = {};
    for (const [topic, { partitions }] of world.cluster.topics) counts[topic] = partitions.length;
    for (const [name, task] of tasks) {
      const seen = statesSeen(task, this.#chains.get(name)!, coverage);
      coverage.add('states compared', await rerun(world, task.plan, counts, seen));
    }
  }
}

/** A fetch answer is at most so old when a task looks at it. */
const UNREAD_MAX_MS = 3_000;

function statesSeen(task: TaskRecord, chain: readonly CommittedEntry[], coverage: Coverage): Map<number, StateSeen[]> {
  const seen = new Map<number, StateSeen[]>();
  const add = (entry: number, digest: string | null, at: { watermarkMs: number; clockMs: number }, by: string) => {
    if (digest === null) return;
    const states = seen.get(entry);
    const one = { digest, watermarkMs: at.watermarkMs, clockMs: at.clockMs, by };
    if (states === undefined) seen.set(entry, [one]);
    else states.push(one);
  };
  for (const trace of task.traces) {
    const from = trace.restored?.entry ?? 0;
    const replayed = chain.filter(({ kind, number }) => kind === 'commit' && number > from);
    const replays = trace.replayed;
    coverage.add('replays of several entries', replays > 1 ? 1 : 0);
    coverage.add('entries replayed', replays);
    for (let i = 0; i < replays; i++) {
      const state = trace.states[i];
      if (replayed[i] !== undefined) add(replayed[i].number, state.digest, state, `the replay of ${trace.attempt}`);
    }
    for (const { number, bytes, state } of trace.sent) {
      const committed = chain[number]?.bytes.equals(bytes) === true;
      if (committed && state !== null) add(number, state.digest, state, `the live run of ${trace.attempt}`);
      if (!committed) coverage.add('entries that never were');
    }
  }
  for (const one of task.published) {
    const stands = chain[one.entry]?.chainHash === one.chainHash;
    const text = () => `a checkpoint was published at entry ${one.entry}, which was never committed so`;
    require(stands, 'commit-log', text);
    add(one.entry, one.digest, one, 'a checkpoint');
  }
  return seen;
}
