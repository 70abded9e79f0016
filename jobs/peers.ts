// Owns what processes of one installation ask each other: what their tasks say, keyed state, that a job failed, and what
// the admin API was asked. A process that does not answer is left out, or a fault that passes.

import type { MembershipView } from '#runtime/control/membership-view.ts';
import type { AdminPort } from '#runtime/http/contract.ts';
import type { AskPeer } from '#runtime/http/peer-client.ts';
import {
  assignmentKey,
  type SavepointReply,
  type SlotReport,
  type StateReply,
  stateUnreadable,
  type TaskAssignment,
} from '#runtime/slot/messages.ts';
import type { MovedTask } from '#runtime/slot/slot-moves.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { StateQuery } from '#runtime/task/state-query.ts';
import { describe, type Failure } from '#runtime/task/task-supervisor.ts';

export type PeerQuestion =
  | { readonly kind: 'status' | 'reports' }
  | { readonly kind: 'checkpoint'; readonly job: string }
  | { readonly kind: 'moved'; readonly job: string; readonly anew: boolean }
  | { readonly kind: 'drain'; readonly tasks: readonly TaskAssignment[] }
  | { readonly kind: 'release'; readonly job: string; readonly savepoint: string }
  | ({ readonly kind: 'parts' } & AskedParts)
  | { readonly kind: 'state'; readonly assignment: TaskAssignment; readonly query: StateQuery }
  | { readonly kind: 'job-failed'; readonly job: string; readonly failure: Failure }
  | { readonly kind: 'admin'; readonly method: keyof AdminPort; readonly args: readonly unknown[] };

/** What is said and not asked. */
export type Told = Extract<PeerQuestion, { readonly kind: 'drain' | 'release' }> | ToldCheckpoint;

interface ToldCheckpoint {
  readonly kind: 'checkpoint';
  readonly job: string;
}

/** Parts of a savepoint. */
export interface AskedParts {
  readonly tasks: readonly TaskAssignment[];
  readonly savepoint: string;
  readonly timeoutMs: number;
}

/** How this process answers them. */
export interface PeerAnswers {
  status(): Promise<readonly SlotReport[]>;
  reports(): Promise<readonly SlotReport[]>;
  askState(assignment: TaskAssignment, query: StateQuery): Promise<StateReply>;
  told(told: Told): void;
  askParts(asked: AskedParts): Promise<readonly SavepointReply[]>;
  moved(job: string, anew: boolean): Promise<readonly MovedTask[]>;
  /** Error: superseded when another process has the control partition. */
  jobFailed(job: string, failure: Failure): Promise<void>;
  /** As `jobFailed`. */
  admin(method: keyof AdminPort, args: readonly unknown[]): Promise<unknown>;
}

const STATUS_MS = 3_000;
/** A process that is away refuses at once: told again by whoever waits for it. */
const TELLS_MAX = 3;
const STATE_MS = 10_000;
/** Longer than any answer takes. */
const ADMIN_MS = 26_000;
/** Tasks that move are prepared for, stopped and started. */
const MOVED_MS = 60_000;

export function answerPeer(answers: PeerAnswers, question: unknown): Promise<unknown> {
  const asked = question as PeerQuestion;
  switch (asked.kind) {
    case 'status':
      return answers.status();
    case 'reports':
      return answers.reports();
    case 'checkpoint':
    case 'drain':
    case 'release':
      return Promise.resolve(answers.told(asked as Told));
    case 'parts':
      return answers.askParts(asked);
    case 'moved':
      return answers.moved(asked.job, asked.anew);
    case 'state':
      return answers.askState(asked.assignment, asked.query);
    case 'job-failed':
      return answers.jobFailed(asked.job, asked.failure);
    case 'admin':
      return answers.admin(asked.method, asked.args);
  }
  throw new StreamError(
    'request-invalid',
    'another process asked what this one does not know',
    'run the same version of Millrace in all processes',
  );
}

/** Of every task one report: that of the process that runs it, else one that is not its last. */
export function currentReports(
  reports: readonly SlotReport[],
  owners: ReadonlyMap<string, string>,
): readonly SlotReport[] {
  const current = new Map<string, SlotReport>();
  const rank = (key: string, { process, word }: SlotReport) => {
    if (owners.get(key) === process) return 2;
    return word === 'ended' ? 0 : 1;
  };
  for (const report of reports) {
    const key = assignmentKey(report.assignment);
    const before = current.get(key);
    if (before === undefined || rank(key, report) > rank(key, before)) current.set(key, report);
  }
  return [...current.values()];
}

export class Peers {
  readonly #ask: AskPeer;
  readonly #view: () => MembershipView;

  constructor(ask: AskPeer, view: () => MembershipView) {
    this.#ask = ask;
    this.#view = view;
  }

  /** What the tasks of the other processes say; those of a process that does not answer are left out. */
  async reports(kind: 'status' | 'reports'): Promise<readonly SlotReport[]> {
    const others = this.#view().members.filter(({ self }) => !self);
    const answers = await Promise.all(
      others.map(async ({ address, processId }) => {
        const reports = (await this.#ask(address, { kind }, STATUS_MS).catch(() => [])) as SlotReport[];
        return reports.map((report) => ({ ...report, process: processId }));
      }),
    );
    return answers.flat();
  }

  async askState(key: string, assignment: TaskAssignment, query: StateQuery): Promise<StateReply> {
    const owner = this.#addressOf(this.#view().owners.get(key) ?? null);
    if (owner === null) {
      return { kind: 'failure', failure: describe(stateUnreadable(assignment, 'does not run now')) };
    }
    return (await this.#ask(owner, { kind: 'state', assignment, query }, STATE_MS)) as StateReply;
  }

  /** Parts of a savepoint of the tasks that run here, asked of `own`, and of the others; at once when one has none. */
  async askParts(asked: AskedParts, own: PeerAnswers['askParts']): Promise<readonly SavepointReply[]> {
    const { members, owners } = this.#view();
    const failed = Promise.withResolvers<readonly SavepointReply[]>();
    const byOwner = Map.groupBy(asked.tasks, (task) => owners.get(assignmentKey(task)) ?? null);
    const answers = [...byOwner].map(async ([owner, tasks]) => {
      const self = members.some((one) => one.self && one.processId === owner);
      const replies = await (self ? own({ ...asked, tasks }) : this.#askPartsOf(owner, { ...asked, tasks }));
      if (replies.some(({ kind }) => kind === 'failure')) failed.resolve(replies);
      return replies;
    });
    return Promise.race([Promise.all(answers).then((all) => all.flat()), failed.promise]);
  }

  async #askPartsOf(owner: string | null, asked: AskedParts): Promise<readonly SavepointReply[]> {
    try {
      const address = this.#addressOf(owner);
      if (address === null) throw unknownOwner(asked);
      const question: PeerQuestion = { kind: 'parts', ...asked };
      return (await this.#ask(address, question, asked.timeoutMs + STATUS_MS)) as readonly SavepointReply[];
    } catch (error) {
      const { message, remedy } = describe(error);
      return [{ kind: 'failure', failure: { code: 'savepoint-failed', message, remedy, stack: '' } }];
    }
  }

  /** What moved from slot to slot in the other processes since this was asked last. */
  async moved(job: string, anew: boolean): Promise<readonly MovedTask[]> {
    const others = this.#view().members.filter(({ self }) => !self);
    const question: PeerQuestion = { kind: 'moved', job, anew };
    const answers = await Promise.all(
      others.map(({ address }) => this.#ask(address, question, MOVED_MS).catch(() => [])),
    );
    return (answers as (readonly MovedTask[])[]).flat();
  }

  /** One that does not hear it is told again a few times, then waited for in vain, and that is told. */
  tell(question: Told): void {
    for (const { address, self } of this.#view().members) if (!self) void this.#tell(address, question);
  }

  async #tell(address: string, question: Told): Promise<void> {
    for (let tries = 1; tries <= TELLS_MAX; tries++) {
      const told = await this.#ask(address, question, STATUS_MS).then(
        () => true,
        () => false,
      );
      if (told || !this.#view().members.some((one) => one.address === address)) return;
    }
  }

  async tellFailed(job: string, failure: Failure): Promise<void> {
    await this.#ask(this.#controller(), { kind: 'job-failed', job, failure }, ADMIN_MS);
  }

  /** Asks the process that may change jobs. Errors: not-ready while there is none; peer-unreachable. */
  admin(method: keyof AdminPort, args: readonly unknown[]): Promise<unknown> {
    return this.#ask(this.#controller(), { kind: 'admin', method, args }, ADMIN_MS);
  }

  #controller(): string {
    const address = this.#addressOf(this.#view().controlOwner);
    if (address !== null) return address;
    throw new StreamError(
      'not-ready',
      'no process of the installation may change jobs at the moment',
      'ask again in a few seconds: the processes are settling who it is',
    );
  }

  #addressOf(processId: string | null): string | null {
    const member = this.#view().members.find((one) => one.processId === processId);
    return member === undefined || member.address === '' ? null : member.address;
  }
}

function unknownOwner({ savepoint }: AskedParts): StreamError {
  return new StreamError(
    'savepoint-failed',
    `savepoint ${savepoint}: tasks are moving between processes`,
    'take another one when all of them run',
  );
}
