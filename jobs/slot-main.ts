// Owns a slot's thread: connects it to log and checkpoints, compiles the jobs it gets tasks of, and hosts the tasks.
// Entry point of a worker thread; started by slot-threads.ts with SlotSettings.

import { randomBytes } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import type { TaskIdentity } from '#checkpoint/contract.ts';
import { LevelPages } from '#checkpoint/level-pages.ts';
import { PageSwap } from '#checkpoint/page-swap.ts';
import { StateMemory } from '#checkpoint/state-memory.ts';
import { FileTaskCheckpoints } from '#checkpoint/task-checkpoints.ts';
import { openCheckpointStore } from '#jobs/checkpoint-store.ts';
import { connectLog } from '#jobs/connect-log.ts';
import { loadJob } from '#jobs/load-job.ts';
import type { CompiledJob } from '#jobs/plan.ts';
import type { JobAssignment, SlotSettings } from '#jobs/process-settings.ts';
import { taskPlan } from '#jobs/task-plans.ts';
import { AskedOwnership } from '#runtime/slot/asked-ownership.ts';
import type { FromSlot, TaskAssignment, ToSlot } from '#runtime/slot/messages.ts';
import { type PlannedTask, SlotHost } from '#runtime/slot/slot-host.ts';
import { atMost } from '#runtime/std/at-most.ts';
import { BufferPool } from '#runtime/std/buffer-pool.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';
import { createLogger, type LogLevel } from '#runtime/std/pino-logger.ts';
import { ulid } from '#runtime/std/ulid.ts';
import { CommitPace } from '#runtime/task/commit-pace.ts';
import type { Ownership, TaskEnvironment } from '#runtime/task/task-environment.ts';

/** Of buffers of staged batches between two commits. */
const STAGED_BYTES_KEPT = 32 * 1024 * 1024;

/** How long the end of a slot waits for connections. */
const CLOSE_PATIENCE_MS = 500;

/** By name, as it was told last. */
type Jobs = ReadonlyMap<string, JobAssignment>;

function slotEnvironment(settings: SlotSettings, jobs: Jobs, ownership: Ownership): TaskEnvironment {
  const { namespace } = settings;
  const logger = createLogger({ level: settings.logLevel as LogLevel, pretty: settings.pretty });
  const log = connectLog(settings.log, settings.port, `${namespace}-slot-${settings.index}`);
  const reader = log.reader();
  const store = openCheckpointStore(settings.checkpoints);
  const memory = new StateMemory(settings.state.memoryBytes);
  return {
    clock: systemClock,
    logger,
    log,
    reader,
    ownership,
    checkpoints: (identity, attempt) => {
      const swap = pageSwap(settings, jobs, memory, identity, attempt);
      return new FileTaskCheckpoints({ store, identity, attempt, clock: systemClock, logger, swap });
    },
    buffers: new BufferPool(STAGED_BYTES_KEPT),
    attemptId: () => ulid(systemClock.nowMs(), randomBytes(10)),
    pace: new CommitPace({ clock: systemClock, logger, ...settings.pace }),
    breathe: () => new Promise((resolve) => setImmediate(resolve)),
  };
}

/** Null: the job keeps all of its state in memory. */
function pageSwap(
  settings: SlotSettings,
  jobs: Jobs,
  memory: StateMemory,
  identity: TaskIdentity,
  attempt: string,
): PageSwap | null {
  const job = jobs.get(identity.job);
  if (job?.configuration.state !== 'leveldb') return null;
  const root = settings.state.directory;
  return new PageSwap({ memory, open: () => LevelPages.open({ root, identity, attempt }) });
}

/** Compiles each job once, and again when it is told anew; the version was computed by the main thread from the same module. */
function planner(settings: SlotSettings, jobs: Jobs): (assignment: TaskAssignment) => Promise<PlannedTask> {
  const compiled = new Map<JobAssignment, Promise<CompiledJob>>();
  return async (assignment) => {
    const job = jobs.get(assignment.job);
    invariant(job !== undefined, `slot ${settings.index} does not know job ${assignment.job}`);
    const { name } = job.configuration;
    let loading = compiled.get(job);
    if (loading === undefined) {
      for (const known of compiled.keys()) if (known.configuration.name === name) compiled.delete(known);
      loading = loadJob(job.configuration);
      compiled.set(job, loading);
    }
    const loaded = await loading;
    const stage = loaded.plan.stages.find((candidate) => candidate.id === assignment.stage);
    if (stage === undefined) {
      throw new StreamError(
        'version-mismatch',
        `job ${name}: its module no longer has stage '${assignment.stage}'`,
        'the module was changed while the process started: start again',
      );
    }
    const run = {
      namespace: settings.namespace,
      job: name,
      run: assignment.run,
      generation: assignment.generation,
    };
    return {
      plan: taskPlan(
        {
          job: loaded,
          version: job.version,
          versionParts: job.versionParts,
          run,
          sources: job.sources,
          topicIds: job.topicIds,
        },
        stage,
        assignment.partition,
      ),
      options: loaded.settings,
    };
  };
}

function main(): void {
  const port = parentPort;
  invariant(port !== null, 'slot-main.ts runs as a worker thread only');
  const settings = workerData as SlotSettings;
  const jobs = new Map(settings.jobs.map((job) => [job.configuration.name, job]));
  const say = (message: FromSlot) => port.postMessage(message);
  const ownership = new AskedOwnership(say);
  const environment = slotEnvironment(settings, jobs, ownership);
  const host = new SlotHost({ environment, planTask: planner(settings, jobs), say });
  port.on('message', async (message: ToSlot | 'close') => {
    if (message !== 'close') {
      if (message.kind === 'owned') ownership.answered(message.question, message.owned);
      else if (message.kind === 'plan') jobs.set(message.job, message.plan as JobAssignment);
      else host.hear(message);
      return;
    }
    await host.ended();
    const { clock, log, reader } = environment;
    await atMost(clock, CLOSE_PATIENCE_MS, Promise.all([reader.close(), log.close()]));
    process.exit(0);
  });
  say({ kind: 'ready' });
}

main();
