// Owns the verdict on a finished run: what holds for every job, from the commit logs up, and what the workload says its
// job means. Hands what the world's logs ever held to the oracles.

import type { Coverage } from '#test/simulation/coverage.ts';
import { nameOf, type TaskRecord } from '#test/simulation/generation.ts';
import type { Installation } from '#test/simulation/installation.ts';
import { Ledger } from '#test/simulation/ledger.ts';
import type { ArchivedRecord } from '#test/simulation/oracle/archive.ts';
import { type CommittedEntry, judgeTransactions } from '#test/simulation/oracle/commit-chain.ts';
import { Placement } from '#test/simulation/oracle/placement.ts';
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
import type { Arrival, Evidence, Scene } from '#test/simulation/workloads/contract.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';

/** Files one task may have in the end: three checkpoints, their segments, and the one under way. */
const FILES_MAX = 60;
/** A fetch answer is at most so old when a task looks at it. */
const UNREAD_MAX_MS = 3_000;

/** `kept`: ids of the savepoints that must be there. */
export async function judgeRun(
  installation: Installation,
  scene: Scene,
  stored: StoredCheckpoints,
  kept: ReadonlySet<string>,
): Promise<void> {
  const { coordinator, originals } = installation.world.cluster;
  // Who may write no markers, and dies before the transaction that stands for them, leaves what was committed to be
  // aborted; so does who dies before an older process's late initialisation makes the coordinator forget it.
  const isForgotten =
    coordinator.counts.commitMarkersLost > 0 && installation.world.channel.counts['late-past-a-new-process'] > 0;
  const mayBeAborted = coordinator.counts.markersRefused > 0 || isForgotten;
  for (const { partitions } of originals.values()) {
    for (const { overruled, partition, topic } of partitions) {
      require(overruled === 0 || mayBeAborted, 'commit-log', () =>
        `${topic}/${partition}: what was committed was ended as aborted`);
    }
  }
  const ledgers: Ledger[] = [];
  for (const generation of installation.generations) ledgers.push(new Ledger(installation, generation, ledgers));
  judgeAllTransactions(ledgers);
  const savepoints = judgeSavepoints(installation, ledgers, kept);
  for (const ledger of ledgers) {
    const judgement = new Judgement(installation, ledger, ledger === ledgers.at(-1));
    judgement.ownership();
    scene.judge(judgement.evidence());
    judgement.idleness(scene.feed.arrivals);
    judgement.size();
    await judgement.rerun(savepoints);
  }
  const { filesMax } = stored;
  require(filesMax <= filesAllowed(installation.scenario), 'memory', () => `a task keeps ${filesMax} files`);
}

/** Where a snapshot may hold hardly a page, pages that change together go into a segment each. */
function filesAllowed({ workload: { job, pagesMax } }: Scenario): number {
  return FILES_MAX + (job.settings.snapshotBytesMax < 10_000 ? pagesMax : 0);
}

/** Topics of results are those of all generations. */
function judgeAllTransactions(ledgers: readonly Ledger[]): void {
  const chains = new Map<string, readonly CommittedEntry[]>();
  const written = new Map<string, readonly ArchivedRecord[]>();
  for (const ledger of ledgers) {
    const { run } = ledger.generation;
    for (const [name, chain] of ledger.chains) chains.set(`g${run.generation} ${name}`, chain);
    for (const [topic, records] of ledger.written) written.set(topic, records);
  }
  judgeTransactions(chains, [...written.values()].flat());
}

function judgeSavepoints(
  { coverage, run, world }: Installation,
  ledgers: readonly Ledger[],
  kept: ReadonlySet<string>,
): ReadonlyMap<string, StoredSavepoint> {
  const disk = world.disk(STORAGE);
  const job = `${CHECKPOINTS}/${run.namespace}/${run.job}`;
  const whole = disk.counts.bitsFlipped === 0;
  const savepoints = storedSavepoints(disk, job);
  const gone = [...kept].find((id) => !savepoints.has(id));
  require(gone === undefined || !whole, 'savepoint', () => `${gone} was kept, and is not there`);
  for (const savepoint of savepoints.values()) {
    const { entryOf, tasks } = ledgers[savepoint.generation];
    const cut = new Map(
      tasks.map(({ chain, input, name, plan }): [string, CutTask] => {
        return [name, { name, chain, exchanged: plan.input.internal ? input : null }];
      }),
    );
    judgeSavepoint(savepoint, cut, entryOf, { disk, job, whole });
    coverage.add('savepoints judged');
    if (tasks.some(({ plan }) => plan.input.internal)) coverage.add('savepoints across an exchange');
  }
  return savepoints;
}

class Judgement {
  readonly #installation: Installation;
  readonly #scenario: Scenario;
  readonly #ledger: Ledger;
  readonly #isLast: boolean;

  constructor(installation: Installation, ledger: Ledger, isLast: boolean) {
    this.#installation = installation;
    this.#scenario = installation.scenario;
    this.#ledger = ledger;
    this.#isLast = isLast;
  }

  /**
   * Whoever owns a task later shuts out the others first: an entry of theirs never follows one of its own. Nor does any
   * follow when another generation has begun.
   */
  ownership(): void {
    const { chains, generation } = this.#ledger;
    for (const [name, { traces }] of generation.tasks) {
      const sendings = Map.groupBy(
        traces.flatMap(({ process, sent }) => sent.map((one) => ({ process, ...one }))),
        ({ number }) => number,
      );
      let newest = -1;
      const chain = chains.get(name)!;
      for (const { number, bytes } of chain) {
        const senders = sendings.get(number)?.filter((one) => one.bytes.equals(bytes)) ?? [];
        const processes = senders.map(({ process }) => process);
        const text = () => `${name}: entry ${number} of process ${processes} follows one of process ${newest}`;
        require(Math.max(...processes) >= newest, 'ownership', text);
        newest = Math.max(newest, Math.min(...processes));
      }
      const ended = generation.ended.get(name) ?? chain.length;
      const beside = () =>
        `${name} of generation ${generation.run.generation} had ${ended} entries when the next began`;
      require(chain.length <= ended, 'ownership', () => `${beside()}, and has ${chain.length}`);
    }
  }

  /** An entry with nothing but results of timers ends soon after `commitBytesMax`. */
  size(): void {
    const { burstBytesMax, job } = this.#scenario.workload;
    if (burstBytesMax === null) return;
    const sizes = new Map<string, number>();
    for (const topic of this.#ledger.written.keys()) {
      if (this.#ledger.exchanges.has(topic)) continue;
      for (const { transaction, key, value } of this.#ledger.output(topic)) {
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
    const { coverage, damaged, overturned, scenario, world } = this.#installation;
    const ledger = this.#ledger;
    const complete = this.#isLast && !damaged && !overturned;
    return {
      world,
      coverage,
      tasks: ledger.tasks,
      entryOf: ledger.entryOf,
      placement: new Placement(),
      complete,
      closed: complete && scenario.closes,
      output: (topic) => ledger.output(topic),
      lineage: (topic) => ledger.lineage(topic),
      partitionCount: (topic) => ledger.counts[topic] ?? null,
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
    for (const { chain, name, plan } of this.#ledger.tasks) {
      const { input } = plan;
      if (input.internal) continue;
      const own = arrivals.filter(({ topic, partition }) => topic === input.topic && partition === input.partition);
      for (const { idleSinceMs, endOffset, clockMs, number } of chain) {
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

  async rerun(savepoints: ReadonlyMap<string, StoredSavepoint>): Promise<void> {
    const { world, coverage, scenario } = this.#installation;
    const { before, chains, counts, generation } = this.#ledger;
    // Something outside of the log may refuse between the end of an entry and its transaction.
    const { job, memoryBytes } = scenario.workload;
    const unsent = job.targets.size > 0 || memoryBytes !== null ? 1 : 0;
    for (const [name, task] of generation.tasks) {
      const seen = statesSeen(task, chains.get(name)!, unsent, coverage);
      for (const [id, savepoint] of savepoints) {
        if (savepoint.generation !== generation.run.generation) continue;
        const part = savepoint.tasks.find((one) => nameOf(one) === name)!;
        const watermarkMs = part.watermarkMs ?? Number.NEGATIVE_INFINITY;
        const state = { digest: part.digest, watermarkMs, clockMs: part.clockMs, by: `savepoint ${id}` };
        seen.set(part.entry, [...(seen.get(part.entry) ?? []), state]);
      }
      if (before !== null) continue;
      const [first] = chains.get(name)!;
      if (first === undefined) continue;
      const plans = this.#installation.plans(first.version, undefined, generation);
      const plan = plans.find(({ identity }) => nameOf(identity) === name)!;
      const until = this.#ledger.sameUntil(name);
      coverage.add('states compared', await rerun(world, plan, counts, seen, until));
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
