// Owns what the slots of a pool are asked and what their tasks said last. Asks only slots that hear; nobody waits for one
// that is gone.

import { LastWords } from '#runtime/slot/last-words.ts';
import {
  assignmentKey,
  type SavepointReply,
  type SlotReport,
  type StateReply,
  stateUnreadable,
  type TaskAssignment,
  type ToSlot,
} from '#runtime/slot/messages.ts';
import type { Slot, SlotCounts } from '#runtime/slot/slot.ts';
import { type SlotAnswer, SlotQuestions } from '#runtime/slot/slot-questions.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';
import { describe } from '#runtime/task/task-supervisor.ts';

const STATUS_TIMEOUT_MS = 2_000;
/** A task answers between two entries; one whose commit hangs does not. */
const STATE_TIMEOUT_MS = 10_000;
/** A task that finds nothing ready makes it itself. */
const PREPARE_TIMEOUT_MS = 10_000;
const STATE_QUESTIONS_MAX = 256;

export class SlotReports {
  readonly words = new LastWords();
  readonly #questions: SlotQuestions;
  readonly #slots: readonly Slot[];
  #stateQuestions = 0;

  /** @param slots those of the pool, which changes them */
  constructor(clock: Clock, slots: readonly Slot[]) {
    this.#questions = new SlotQuestions(clock);
    this.#slots = slots;
  }

  answered(answer: SlotAnswer): void {
    this.#questions.answered(answer);
  }

  /** What the tasks of all slots say about themselves; a slot that does not answer in time is left out. */
  async status(): Promise<SlotReport[]> {
    const answers = await Promise.all(this.#slots.map((slot) => this.ask(slot, STATUS_TIMEOUT_MS)));
    return answers.flatMap((tasks) => tasks ?? []);
  }

  /** As `status`, and what those said last that do not answer, run nowhere now, or have ended. */
  async all(): Promise<SlotReport[]> {
    const answered = new Set<Slot>();
    await Promise.all(
      this.#slots.map(async (slot) => {
        if ((await this.ask(slot, STATUS_TIMEOUT_MS)) !== null) answered.add(slot);
      }),
    );
    return this.words.all(this.#slots, answered);
  }

  /** Lets a slot make ready what every task of the job needs, so that the first one does not wait for it. */
  async prepare(slot: Slot, job: string): Promise<void> {
    if (!slot.ready) return;
    await this.#questions.ask(slot.gone.signal, PREPARE_TIMEOUT_MS, (request) =>
      say(slot, { kind: 'prepare', request, job }),
    );
  }

  get counts(): SlotCounts {
    const running = this.#slots.filter(({ ready }) => ready);
    const activity = running.map(({ index, worker }) => {
      const { active, idle } = worker?.performance.eventLoopUtilization() ?? { active: 0, idle: 0 };
      return { slot: index, activeSeconds: active / 1_000, idleSeconds: idle / 1_000 };
    });
    const total = this.#slots.filter(({ only }) => only === null).length;
    return { total, running: running.length, activity };
  }

  async askState(assignment: TaskAssignment, query: StateQuery): Promise<StateReply> {
    const key = assignmentKey(assignment);
    const slot = this.#slots.find(({ tasks }) => tasks.has(key));
    if (slot === undefined || !slot.ready) return unanswered(assignment, 'does not run now');
    if (this.#stateQuestions >= STATE_QUESTIONS_MAX) return unanswered(assignment, 'is asked too much at once');
    this.#stateQuestions++;
    const answer = await this.#questions.ask(slot.gone.signal, STATE_TIMEOUT_MS, (request) =>
      say(slot, { kind: 'state', request, assignment, query }),
    );
    this.#stateQuestions--;
    if (answer?.kind === 'state') return answer.reply;
    return unanswered(assignment, slot.gone.signal.aborted ? 'ended' : 'did not answer in time');
  }

  /**
   * The parts of these tasks of a savepoint, in no order; at once when one of them says that it has none, or does not
   * answer in time.
   */
  async askParts(tasks: readonly TaskAssignment[], savepoint: string, timeoutMs: number): Promise<SavepointReply[]> {
    const failed = Promise.withResolvers<SavepointReply[]>();
    const parts = tasks.map(async (task) => {
      const reply = await this.#askPart(task, savepoint, timeoutMs);
      if (reply.kind === 'failure') failed.resolve([reply]);
      return reply;
    });
    return Promise.race([Promise.all(parts), failed.promise]);
  }

  async #askPart(assignment: TaskAssignment, savepoint: string, timeoutMs: number): Promise<SavepointReply> {
    const slot = this.#slots.find(({ tasks }) => tasks.has(assignmentKey(assignment)));
    if (slot === undefined || !slot.ready) return partless(assignment, savepoint, 'does not run now');
    const answer = await this.#questions.ask(slot.gone.signal, timeoutMs, (request) =>
      say(slot, { kind: 'savepoint', request, assignment, savepoint, options: {} }),
    );
    if (answer?.kind === 'savepoint') return answer.reply;
    const why = slot.gone.signal.aborted ? 'ended with its thread' : 'has not come to its part in time';
    return partless(assignment, savepoint, why);
  }

  /** Null when the slot does not answer in time, or ends. */
  async ask(slot: Slot, timeoutMs: number): Promise<readonly SlotReport[] | null> {
    if (!slot.ready) return null;
    const answer = await this.#questions.ask(slot.gone.signal, timeoutMs, (request) =>
      say(slot, { kind: 'status', request }),
    );
    return answer?.kind === 'status' ? this.words.heard(slot.index, answer.tasks) : null;
  }
}

function say({ worker }: Slot, message: ToSlot): void {
  worker?.postMessage(message);
}

function unanswered(assignment: TaskAssignment, why: string): StateReply {
  return { kind: 'failure', failure: describe(stateUnreadable(assignment, why)) };
}

function partless({ job, stage, partition }: TaskAssignment, savepoint: string, why: string): SavepointReply {
  const fault = new StreamError(
    'savepoint-failed',
    `savepoint ${savepoint}: task ${job}/${stage}/${partition} ${why}`,
    'look at what the task waits for (millrace job), and take another one; the job goes on as before',
  );
  return { kind: 'failure', failure: describe(fault) };
}
