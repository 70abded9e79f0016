// Owns reading keyed state of an operator over all tasks of its stage: page after page, partition after partition, each
// task at one of its entries. Keeps nothing between pages: `next` says all. Invariant: a key that lives all the while is
// on exactly one page, as long as the tasks keep running.

import { instantiate } from '#jobs/instantiate.ts';
import type { CompiledJob, StagePlan } from '#jobs/plan.ts';
import type { PreparedJob } from '#jobs/prepare-job.ts';
import { keyStepOf } from '#jobs/stage-shape.ts';
import type { StateQueryView, StateReadView, StateView } from '#runtime/http/contract.ts';
import type { StateReply, TaskAssignment } from '#runtime/slot/messages.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { ERROR_CODES, type ErrorCode, StreamError } from '#runtime/std/errors.ts';
import { murmur2, partitionOf } from '#runtime/std/murmur2.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';
import type { StateAnswer } from '#runtime/task/state-questions.ts';
import type { Failure } from '#runtime/task/task-supervisor.ts';

const LIMIT = 100;
const LIMIT_MAX = 1_000;
/** A page that took so long ends with the task it is at. */
const PAGE_MS = 1_000;

export type AskState = (assignment: TaskAssignment, query: StateQuery) => Promise<StateReply>;

/** Ids of the operators that show their state, in plan order, with their stages. */
export function readableOperators(job: CompiledJob): ReadonlyMap<string, StagePlan> {
  const readable = new Map<string, StagePlan>();
  const run = { namespace: 'none', job: job.plan.job, run: 'live', generation: 0 };
  for (const stage of job.plan.stages) {
    const { operators, keys, effects, schemas } = instantiate(job, { stageId: stage.id, run });
    for (const { id, look } of operators) if (look !== undefined && keys?.has(id) === true) readable.set(id, stage);
    for (const effect of effects ?? []) effect.close();
    schemas?.close();
  }
  return readable;
}

export interface StateQuestion {
  readonly job: CompiledJob;
  readonly prepared: PreparedJob;
  readonly stage: StagePlan;
  readonly operator: string;
  readonly query: StateQueryView;
  readonly ask: AskState;
  readonly clock: Clock;
}

/** Null when the stage has no such operator after all. Errors: state-unreadable, request-invalid. */
export async function readStatePage(question: StateQuestion): Promise<StateView | null> {
  const { prepared, stage, operator, query } = question;
  const tasks = prepared.tasks.filter((task) => task.stage === stage.id);
  const found = query.key === undefined ? await pageOf(question, tasks) : await oneKey(question, tasks, query.key);
  if (found === null) return null;
  const { answers, next } = found;
  return {
    job: prepared.plan.job,
    stage: stage.id,
    operator,
    readAt: answers.map(({ partition, entry, watermarkMs }): StateReadView => ({ partition, entry, watermarkMs })),
    keys: answers.flatMap(({ partition, keys }) =>
      keys.map(({ key, states, eventTimersMs, clockTimersMs }) => ({
        key,
        partition,
        states,
        eventTimersMs,
        clockTimersMs,
      })),
    ),
    next,
  };
}

interface Found {
  readonly answers: readonly StateAnswer[];
  readonly next: string | null;
}

async function oneKey(question: StateQuestion, tasks: readonly TaskAssignment[], key: string): Promise<Found | null> {
  const { job, stage, operator, ask } = question;
  const owner = ownerOf(job, stage, operator, key, tasks.length);
  const asked = owner === null ? tasks : tasks.filter(({ partition }) => partition === owner);
  const answers = await Promise.all(asked.map(async (task) => answerOf(await ask(task, { operator, key }))));
  if (answers.includes(null)) return null;
  return { answers: answers.flatMap((answer) => answer ?? []), next: null };
}

async function pageOf(question: StateQuestion, tasks: readonly TaskAssignment[]): Promise<Found | null> {
  const { operator, query, ask, clock } = question;
  const limit = query.limit ?? LIMIT;
  if (!Number.isInteger(limit) || limit < 1 || limit > LIMIT_MAX) {
    throw wrong(`limit ${limit} is not possible`, `give a number from 1 to ${LIMIT_MAX}`);
  }
  const start = placeOf(query.after, tasks.length);
  const answers: StateAnswer[] = [];
  const startMs = clock.monotonicMs();
  let { after } = start;
  let left = limit;
  for (let partition = start.partition; partition < tasks.length; partition++) {
    if (left === 0 || clock.monotonicMs() - startMs > PAGE_MS) return { answers, next: `${partition}:0` };
    const answer = answerOf(await ask(tasks[partition], { operator, prefix: query.prefix, after, limit: left }));
    if (answer === null) return null;
    answers.push(answer);
    // One page of a task in one reply: the next would be of another entry.
    if (answer.next !== null) return { answers, next: `${partition}:${answer.next}` };
    left -= answer.keys.length;
    after = undefined;
  }
  return { answers, next: null };
}

function placeOf(after: string | undefined, tasks: number): { partition: number; after: string | undefined } {
  if (after === undefined) return { partition: 0, after: undefined };
  const place = /^(\d{1,9}):(\d{1,15})$/.exec(after);
  if (place === null || Number(place[1]) >= tasks) {
    throw wrong(
      `after '${after.slice(0, 40)}' is no place between two pages`,
      'give what `next` of the page before said',
    );
  }
  return { partition: Number(place[1]), after: place[2] };
}

function wrong(message: string, remedy: string): StreamError {
  return new StreamError('request-invalid', message, remedy);
}

function answerOf(reply: StateReply): StateAnswer | null {
  if (reply.kind === 'answer') return reply.answer;
  throw faultOf(reply.failure);
}

function faultOf({ code, message, remedy }: Failure): StreamError {
  const known = code in ERROR_CODES ? (code as ErrorCode) : 'state-unreadable';
  return new StreamError(known, message, remedy);
}

/**
 * The task that has a key, null when it cannot be known: behind an exchange, or where the source promises it, keys lie
 * where their hash says, unless a step of the stage keyed or changed them since.
 */
export function ownerOf(
  job: CompiledJob,
  stage: StagePlan,
  operator: string,
  key: string,
  taskCount: number,
): number | null {
  const step = stage.steps.find(({ id }) => id === operator);
  if (step === undefined || keyStepOf(stage, step.input) !== null) return null;
  const { input } = stage;
  if (input.kind === 'source') {
    const source = job.plan.sources.find(({ id }) => id === input.source);
    if (source?.partitionedBy !== 'series' || isMapped(stage, step.input)) return null;
  }
  return partitionOf(murmur2(Buffer.from(key)), taskCount);
}

function isMapped(stage: StagePlan, id: string): boolean {
  const step = stage.steps.find((one) => one.id === id);
  return step !== undefined && (step.kind === 'map' || isMapped(stage, step.input));
}
