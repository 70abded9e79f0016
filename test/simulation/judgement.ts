// Owns the verdict on a finished run: what holds for every job, from the commit logs up, and what the workload says its
// job means. Hands what the world's logs ever held to the oracles.

import { describeTopics, type TopicNeed } from '#jobs/topics.ts';
import type { Coverage } from '#test/simulation/coverage.ts';
import type { Installation } from '#test/simulation/installation.ts';
import { type ArchivedRecord, committedRecords } from '#test/simulation/oracle/archive.ts';
import { type CommittedEntry, judgeTransactions, readChain } from '#test/simulation/oracle/commit-chain.ts';
import { entriesByTransaction, Placement } from '#test/simulation/oracle/placement.ts';
import { rerun, type StateSeen } from '#test/simulation/oracle/rerun.ts';
import {
  type CutTask,
  judgeSavepoint,
  type StoredSavepoint,
  storedSavepoints,
} from '#test/simulation/oracle/savepoint-cut.ts';
import type { StoredCheckpoints } from '#test/simulation/oracle/stored-checkpoints.ts';
import { require } from '#test/simulation/oracle/violation.ts';
import { CHECKPOINTS, type Scenario, STORAGE } from '#test/simulation/scenario.ts';
import { nameOf, type TaskRecord } from '#test/simulation/task-record.ts';
import type { Arrival, Evidence, Scene, TaskEvidence } from '#test/simulation/workloads/contract.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';

/** Files one task may have in the end: three checkpoints, their segments, and the one under way. */
const FILES_MAX = 60;
/** What tasks write beside their commit logs. */
const WRITTEN = new Set<TopicNeed['use']>(['output', 'late', 'dead-letter', 'exchange']);
/** A fetch answer is at most so old when a task looks at it. */
const UNREAD_MAX_MS = 3_000;

/** `kept`: ids of the savepoints that must be there. */
export async function judgeRun(
  installation: Installation,
  scene: Scene,
  stored: StoredCheckpoints,
  kept: ReadonlySet<string>,
): Promise<void> {
  const judgement = new Judgement(installation);
  judgement.transactions();
  judgement.ownership();
  judgement.savepoints(kept);
  scene.judge(judgement.evidence());
  judgement.idleness(scene.feed.arrivals);
  judgement.size();
  const { filesMax } = stored;
  require(filesMax <= filesAllowed(installation.scenario), 'memory', () => `a task keeps ${filesMax} files`);
  await judgement.rerun();
}

/** Where a snapshot may hold hardly a page, pages that change together go into a segment each. */
function filesAllowed({ workload: { job, pagesMax } }: Scenario): number {
  return FILES_MAX + (job.settings.snapshotBytesMax < 10_000 ? pagesMax : 0);
}

class Judgement {
  readonly #installation: Installation;
  readonly #scenario: Scenario;
  readonly #chains = new Map<string, readonly CommittedEntry[]>();
  /** Committed records by topic, those that tasks write. */
  readonly #written = new Map<string, readonly ArchivedRecord[]>();
  readonly #exchanges = new Set<string>();
  #savepoints: ReadonlyMap<string, StoredSavepoint> = new Map();
  /** Partitions of the job's topics, as they were when it began. */
  readonly #counts: Record<string, number> = {};

  constructor(installation: Installation) {
    const { run, scenario, sources, tasks, world } = installation;
    this.#installation = installation;
    this.#scenario = scenario;
    for (const [name, { plan }] of tasks) {
      this.#chains.set(name, readChain(committedRecords(world, plan.commitTopic, plan.identity.partition), name));
    }
    for (const { partitionCount, topic, use } of describeTopics(scenario.workload.job.plan, run, sources)) {
      this.#counts[topic] = partitionCount;
      if (!WRITTEN.has(use)) continue;
      if (use === 'exchange') this.#exchanges.add(topic);
      const { partitions } = world.cluster.originals.get(topic)!;
      const records = partitions.flatMap(({ partition }) => committedRecords(world, topic, partition));
      this.#written.set(topic, records);
    }
  }

  transactions(): void {
    judgeTransactions(this.#chains, [...this.#written.values()].flat());
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

  savepoints(kept: ReadonlySet<string>): void {
    const { coverage, run, tasks, world } = this.#installation;
    const disk = world.disk(STORAGE);
    const job = `${CHECKPOINTS}/${run.namespace}/${run.job}`;
    const whole = disk.counts.bitsFlipped === 0;
    this.#savepoints = storedSavepoints(disk, job);
    const gone = [...kept].find((id) => !this.#savepoints.has(id));
    require(gone === undefined || !whole, 'savepoint', () => `${gone} was kept, and is not there`);
    const cut = new Map(
      [...tasks].map(([name, { plan }]): [string, CutTask] => {
        const { internal, topic, partition } = plan.input;
        const exchanged = internal ? committedRecords(world, topic, partition) : null;
        return [name, { name, chain: this.#chains.get(name)!, exchanged }];
      }),
    );
    const entryOf = entriesByTransaction(this.#chains);
    for (const savepoint of this.#savepoints.values()) {
      judgeSavepoint(savepoint, cut, entryOf, { disk, job, whole });
      coverage.add('savepoints judged');
      if ([...cut.values()].some(({ exchanged }) => exchanged !== null)) coverage.add('savepoints across an exchange');
    }
  }

  /** An entry with nothing but results of timers ends soon after `commitBytesMax`. */
  size(): void {
    const { burstBytesMax, job } = this.#scenario.workload;
    if (burstBytesMax === null) return;
    const sizes = new Map<string, number>();
    for (const [topic, records] of this.#written) {
      if (this.#exchanges.has(topic)) continue;
      for (const { transaction, key, value } of records) {
        const bytes = (key?.length ?? 0) + (value?.length ?? 0);
        sizes.set(String(transaction), (sizes.get(String(transaction)) ?? 0) + bytes);
      }
    }
    const bytesMax = job.settings.commitBytesMax + burstBytesMax;
    for (const [transaction, bytes] of sizes) {
      require(bytes <= bytesMax, 'memory', () => `transaction ${transaction} has ${bytes} bytes of rows`);
    }
  }

  evidence(): Evidence {
    const { coverage, damaged, overturned, scenario, tasks: records, world } = this.#installation;
    const complete = !damaged && !overturned;
    const tasks = [...records].map(([name, { plan }]): TaskEvidence => {
      const { topic, partition } = plan.input;
      return { name, plan, chain: this.#chains.get(name)!, input: committedRecords(world, topic, partition) };
    });
    return {
      world,
      coverage,
      tasks,
      entryOf: entriesByTransaction(this.#chains),
      placement: new Placement(),
      complete,
      closed: complete && scenario.closes,
      output: (topic) => this.#written.get(topic)!,
      partitionCount: (topic) => this.#counts[topic],
    };
  }

  /**
   * An idle entry leaves nothing unread that was there when it began. Needs clocks that tell the world's time, and a
   * log that shows its true end.
   */
  idleness(arrivals: readonly Arrival[]): void {
    // What was written and lost again was there, and may be unread.
    const { setBack } = this.#installation;
    if (setBack || this.#scenario.clockJumps || this.#scenario.faults.fetchLag > 0) return;
    for (const [name, { plan }] of this.#installation.tasks) {
      const { input } = plan;
      if (input.internal) continue;
      const own = arrivals.filter(({ topic, partition }) => topic === input.topic && partition === input.partition);
      for (const { idleSinceMs, endOffset, clockMs, number } of this.#chains.get(name)!) {
        if (idleSinceMs === null) continue;
        this.#installation.coverage.add('idle entries');
        for (const { atMs, endOffset: written } of own) {
          if (written <= endOffset) continue;
          const unread = () => `${name} entry ${number} is idle and left offset ${written - 1} unread for a while`;
          require(WORLD_EPOCH_MS + atMs > clockMs - UNREAD_MAX_MS, 'idleness', unread);
        }
      }
    }
  }

  async rerun(): Promise<void> {
    const { world, coverage, tasks } = this.#installation;
    const unsent = this.#scenario.workload.job.targets.size > 0 ? 1 : 0;
    for (const [name, task] of tasks) {
      const seen = statesSeen(task, this.#chains.get(name)!, unsent, coverage);
      for (const [id, savepoint] of this.#savepoints) {
        const part = savepoint.tasks.find((one) => nameOf(one) === name)!;
        const watermarkMs = part.watermarkMs ?? Number.NEGATIVE_INFINITY;
        const state = { digest: part.digest, watermarkMs, clockMs: part.clockMs, by: `savepoint ${id}` };
        seen.set(part.entry, [...(seen.get(part.entry) ?? []), state]);
      }
      coverage.add('states compared', await rerun(world, task.plan, this.#counts, seen));
    }
  }
}
/** `unsent`: states at the end of an attempt that may be of an entry that it never sent. */
function statesSeen(
  task: TaskRecord,
  chain: readonly CommittedEntry[],
  unsent: number,
  coverage: Coverage,
): Map<number, StateSeen[]> {
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
    const replays = trace.replayed ?? Math.max(0, trace.states.length - unsent);
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
