// Owns what has become of each job of a process: what it is told to be, its state, what ended it. Starts and stops
// nothing. Invariant: a job fails once between two starts, and keeps its first failure.

import type { LogConfiguration } from '#jobs/configuration.ts';
import type { LoadedJob } from '#jobs/load-job.ts';
import type { PreparedJob } from '#jobs/prepare-job.ts';
import type { WantedJob } from '#runtime/control/desired-state.ts';
import type { RoomReport } from '#runtime/log/embedded/disk-room.ts';
import type { TaskAssignment } from '#runtime/slot/messages.ts';
import { systemClock } from '#runtime/std/clock.ts';
import type { Logger } from '#runtime/std/logger.ts';
import { FailureBook } from '#runtime/task/failure-book.ts';
import type { Failure } from '#runtime/task/task-supervisor.ts';

export type JobState = 'CREATED' | 'RUNNING' | 'PAUSED' | 'STOPPING' | 'STOPPED' | 'CANCELED' | 'FAILED';

export interface RunningJob {
  readonly name: string;
  /** As the configuration has it. */
  readonly original: LoadedJob;
  /** As it is started the next time. */
  loaded: LoadedJob;
  /** What it is told to be. */
  wanted: WantedJob;
  state: JobState;
  failure: Failure | null;
  /** When it failed, by the monotonic clock. */
  failedMs: number | null;
  /** Null before it was prepared, or when it was refused. */
  prepared: PreparedJob | null;
  /** What happened to it beside its tasks. */
  readonly exceptions: FailureBook;
}

export function runningJob(loaded: LoadedJob, wanted: WantedJob): RunningJob {
  return {
    name: loaded.configuration.name,
    original: loaded,
    loaded: settled(loaded, wanted),
    wanted,
    state: wanted.state === 'RUNNING' ? 'CREATED' : wanted.state,
    failure: null,
    failedMs: null,
    prepared: null,
    exceptions: new FailureBook(),
  };
}

export class RunningJobs {
  readonly #logger: Logger;
  readonly #jobs = new Map<string, RunningJob>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  add(loaded: LoadedJob, wanted: WantedJob): RunningJob {
    return this.take(runningJob(loaded, wanted));
  }

  take(job: RunningJob): RunningJob {
    this.#jobs.set(job.name, job);
    return job;
  }

  /** In the order they were added. */
  get all(): readonly RunningJob[] {
    return [...this.#jobs.values()];
  }

  get(name: string): RunningJob | undefined {
    return this.#jobs.get(name);
  }

  in(state: JobState): readonly RunningJob[] {
    return this.all.filter((job) => job.state === state);
  }

  get failures(): readonly Failure[] {
    return this.all.flatMap((job) => (job.failure === null ? [] : [job.failure]));
  }

  /** What it is told to be has changed; settings count from its next start on. */
  told(job: RunningJob, wanted: WantedJob): void {
    job.wanted = wanted;
    job.loaded = settled(job.loaded, wanted);
  }

  /** As it is started the next time, with the settings that it is told. */
  loaded(job: RunningJob, loaded: LoadedJob): void {
    job.loaded = settled(loaded, job.wanted);
  }

  /** It is to run (again): what ended it before is over. */
  created(job: RunningJob): void {
    job.state = 'CREATED';
    job.failure = null;
    job.failedMs = null;
  }

  failed(job: RunningJob, failure: Failure): void {
    if (job.state === 'FAILED') return;
    job.state = 'FAILED';
    job.failedMs = systemClock.monotonicMs();
    const { code, remedy } = failure;
    const named = failure.message.startsWith(`job ${job.name}`) || failure.message.startsWith(`task ${job.name}/`);
    const message = named ? failure.message : `job ${job.name}: ${failure.message}`;
    job.failure = { ...failure, message };
    this.#logger.error({ job: job.name, state: job.state, code, remedy }, message);
  }

  /** Threads end for the one or other of the jobs they run: each of them is told. */
  slotDied(tasks: readonly TaskAssignment[], cause: string, nowMs: number): void {
    const failure: Failure = {
      code: 'slot-died',
      message: `a thread that ran tasks of the job ended: ${cause}`,
      remedy: 'none needed while it stays at once: the tasks run again; when it goes on the job to blame fails',
      stack: '',
    };
    for (const name of new Set(tasks.map(({ job }) => job))) this.#jobs.get(name)?.exceptions.note(failure, nowMs);
  }
}

/** A job as it is compiled, to be run with other settings. */
export function settled({ configuration, compiled }: LoadedJob, { allowDroppedState, settings }: WantedJob): LoadedJob {
  const more = { ...settings, allowDroppedState: allowDroppedState === true };
  return {
    configuration: { ...configuration, settings: { ...configuration.settings, ...more } },
    compiled: { ...compiled, settings: { ...compiled.settings, ...more } },
  };
}

/** Why nothing goes on while the disk of the embedded log is full; null when there is room. */
export function logFull(log: LogConfiguration, room: RoomReport | null): Failure | null {
  if (room === null || log.kind !== 'embedded') return null;
  const mib = (bytes: number) => `${Math.floor(bytes / 2 ** 20)} MiB`;
  const { freeBytes, neededBytes } = room;
  return {
    code: 'disk-failed',
    message: `the disk of the log in ${log.directory} is full: ${mib(freeBytes)} are free, ${mib(neededBytes)} are needed to go on`,
    remedy: 'make room on that disk; everything goes on by itself, nothing is lost',
    stack: '',
  };
}
