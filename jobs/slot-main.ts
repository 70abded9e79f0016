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
import type { JobAssignment, SlotSettings } from '#jobs/process-settings.ts';
import { SlotPlanner } from '#jobs/slot-planner.ts';
import { AskedOwnership } from '#runtime/slot/asked-ownership.ts';
import type { FromSlot, ToSlot } from '#runtime/slot/messages.ts';
import { SlotHost } from '#runtime/slot/slot-host.ts';
import { atMost } from '#runtime/std/at-most.ts';
import { BufferPool } from '#runtime/std/buffer-pool.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { invariant } from '#runtime/std/errors.ts';
import { createLogger, type LogLevel } from '#runtime/std/pino-logger.ts';
import { ulid } from '#runtime/std/ulid.ts';
import { CommitPace } from '#runtime/task/commit-pace.ts';
import type { Ownership, TaskEnvironment } from '#runtime/task/task-environment.ts';

/** Of buffers of staged batches between two commits. */
const STAGED_BYTES_KEPT = 32 * 1024 * 1024;

/** How long the end of a slot waits for connections. */
const CLOSE_PATIENCE_MS = 500;

function slotEnvironment(
  settings: SlotSettings,
  planner: SlotPlanner,
  memory: StateMemory,
  ownership: Ownership,
): TaskEnvironment {
  const { namespace } = settings;
  const logger = createLogger({ level: settings.logLevel as LogLevel, pretty: settings.pretty });
  const log = connectLog(settings.log, settings.port, `${namespace}-slot-${settings.index}`);
  const reader = log.reader();
  const store = openCheckpointStore(settings.checkpoints);
  return {
    clock: systemClock,
    logger,
    log,
    reader,
    ownership,
    checkpoints: (identity, attempt) => {
      const swap = pageSwap(settings, planner, memory, identity, attempt);
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
  planner: SlotPlanner,
  memory: StateMemory,
  identity: TaskIdentity,
  attempt: string,
): PageSwap | null {
  const job = planner.get(identity.job);
  if (job?.configuration.state !== 'leveldb') return null;
  const root = settings.state.directory;
  return new PageSwap({ memory, open: () => LevelPages.open({ root, identity, attempt }) });
}

/** What the first task of a job would otherwise wait for: its module, and the way to the log. */
async function prepare(job: string, planner: SlotPlanner, { log }: TaskEnvironment): Promise<void> {
  const topics = Object.keys(planner.get(job)?.topicIds ?? {});
  // What fails here fails the task, which says so.
  await Promise.all([planner.load(job).catch(() => {}), log.admin.describeTopics(topics).catch(() => {})]);
}

function main(): void {
  const port = parentPort;
  invariant(port !== null, 'slot-main.ts runs as a worker thread only');
  const settings = workerData as SlotSettings;
  const planner = new SlotPlanner(settings.namespace, settings.jobs);
  const say = (message: FromSlot) => port.postMessage(message);
  const ownership = new AskedOwnership(say);
  const memory = new StateMemory(settings.state.memoryBytes);
  const environment = slotEnvironment(settings, planner, memory, ownership);
  const host = new SlotHost({ environment, planTask: (assignment) => planner.plan(assignment), say });
  port.on('message', async (message: ToSlot | 'close') => {
    if (message !== 'close') {
      if (message.kind === 'owned') ownership.answered(message.question, message.owned);
      else if (message.kind === 'plan') planner.tell(message.plan as JobAssignment);
      else if (message.kind === 'state-memory') memory.resize(message.bytes);
      else if (message.kind === 'prepare') {
        await prepare(message.job, planner, environment);
        say({ kind: 'prepared', request: message.request });
      } else host.hear(message);
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
