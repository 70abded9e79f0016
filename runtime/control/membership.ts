// Owns the life of this process as a member of the group that shares the tasks out: joining, signs of life, leading when
// chosen, giving tasks up and getting them. Knows nothing of how a task is run or stopped. Invariants: what this process
// may still run stands in every word it says; it says that it owns a task only after the group said so later than it was
// asked; and when the group forgot it, it owns nothing.

import { GroupVoice, type Sign } from '#runtime/control/group-voice.ts';
import { decodePicture, encodeWord, type Picture } from '#runtime/control/group-words.ts';
import { type MembershipView, NO_VIEW, viewOf } from '#runtime/control/membership-view.ts';
import { leadRound } from '#runtime/control/round-lead.ts';
import { CONTROL_TASK, type TaskLoad } from '#runtime/control/round-plan.ts';
import type { GroupRound, GroupSession } from '#runtime/log/contract.ts';
import { atMost } from '#runtime/std/at-most.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';
import { sharedQuestion } from '#runtime/std/shared-question.ts';

export interface MembershipOptions {
  readonly processId: string;
  /** Where other processes reach the admin API of this one. */
  readonly address: string;
  readonly slots: number;
  readonly engineVersion: string;
  /** Not yet joined; belongs to the membership from now on. */
  readonly session: GroupSession;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Between two signs of life; others wait so long until they hear of a new round. @default 500 */
  readonly heartbeatMs?: number;
  /** No answer of the group takes longer without something being lost. @default 5000 */
  readonly patienceMs?: number;
  /** Members of the group that are dead for sure: the group is told before this process joins. @default none */
  readonly departed?: readonly string[];
}

/** What the membership asks of the process, and tells it. Names of tasks are the process's own; `control` is one, too. */
export interface MembershipDuties {
  /** All tasks that there are; asked of the leader alone, in every round. What it throws puts decisions off. */
  wanted(): Promise<readonly TaskLoad[]>;
  /** Measured load of the tasks that run here, for those where it is known. */
  weights(): ReadonlyMap<string, number>;
  /** A round is settled: what to run here now, and who runs the rest. Tasks in `mine` that run already go on. */
  assigned(view: MembershipView): void;
  /** Stops these tasks cleanly. Settles when none of them runs any more, however it ended. */
  revoke(tasks: readonly string[]): Promise<void>;
  /** All tasks may be others' by now: ends them at once. Called with nothing to run, too. */
  lost(): Promise<void> | void;
  /** This process is that member of the group from now on; null: none any more. */
  named?(memberId: string | null): void;
}

export interface MembershipStatus {
  readonly joined: boolean;
  readonly leader: boolean;
  /** What keeps this process from being heard by the group, or null. Its tasks go on meanwhile. */
  readonly fault: StreamError | null;
}

interface OwnClaim {
  slot: number;
  releasing: boolean;
}

interface Heard {
  readonly sign: Sign;
  readonly life: number;
  readonly generation: number;
}

const HEARTBEAT_MS = 500;
const PATIENCE_MS = 5_000;
/** How long tasks that are lost may take to end before this process joins anew. */
const LOST_PATIENCE_MS = 5_000;
const UNFINISHED_PAUSE_MS = 1_000;
/** A question who owns a task waits so long for a round to be settled. */
const OWNS_PATIENCE_MS = 20_000;
const AGAIN: readonly string[] = ['rebalance-in-progress', 'generation-ended'];

export class Membership {
  readonly #options: MembershipOptions;
  readonly #duties: MembershipDuties;
  readonly #session: GroupSession;
  readonly #clock: Clock;
  readonly #heartbeatMs: number;
  readonly #voice: GroupVoice;
  readonly #claims = new Map<string, OwnClaim>();
  readonly #over = new AbortController();
  readonly #question: () => Promise<Heard>;
  readonly #releases = new Set<Promise<void>>();
  /** Grows when the group forgets this process: what was asked or begun before concerns another member. */
  #life = 0;
  #generation = -1;
  #picture: Picture | null = null;
  #leader = false;
  #view: MembershipView = NO_VIEW;
  #wishes = 0;
  #roundDue = false;
  #closing = false;
  #nap = new AbortController();
  #settled = Promise.withResolvers<void>();
  #losing: Promise<void> = Promise.resolve();
  #running: Promise<void> | null = null;
  #memberId: string | null = null;
  #said: { readonly about: string; readonly bytes: Buffer } | null = null;

  constructor(options: MembershipOptions, duties: MembershipDuties) {
    this.#options = options;
    this.#duties = duties;
    this.#session = options.session;
    this.#clock = options.clock;
    this.#heartbeatMs = options.heartbeatMs ?? HEARTBEAT_MS;
    const { session, clock, logger, patienceMs = PATIENCE_MS } = options;
    const over = this.#over.signal;
    this.#voice = new GroupVoice({ session, clock, logger, heartbeatMs: this.#heartbeatMs, patienceMs, over });
    this.#question = sharedQuestion(async () => {
      const [life, generation] = [this.#life, this.#generation];
      return { life, generation, sign: await this.#voice.sign(generation) };
    });
  }

  /** Joins, and stays a member until `close`. Rejects only for a bug; faults of the log are waited out. */
  run(): Promise<void> {
    this.#running ??= this.#live();
    return this.#running;
  }

  get view(): MembershipView {
    return this.#view;
  }

  get status(): MembershipStatus {
    return { joined: this.#generation >= 0, leader: this.#leader, fault: this.#voice.fault };
  }

  /** Asks for a new round: what tasks there are has changed. Any member may. */
  rebalance(): void {
    this.#wishes++;
    this.#wish();
  }

  /**
   * Whether this process owns the task, of a moment after the call: the group says so. A task that it was told to give
   * up is its own until it ended. Errors: log-unavailable, log-timeout, … while the group cannot be asked.
   */
  async owns(task: string): Promise<boolean> {
    const lastMs = this.#clock.monotonicMs() + OWNS_PATIENCE_MS;
    const claim = this.#claims.get(task);
    // Lost and given anew, it belongs to another attempt than the one that asked.
    while (claim !== undefined && this.#claims.get(task) === claim) {
      const { sign, life, generation } = await this.#question();
      if (this.#claims.get(task) !== claim) return false;
      if (sign === 'stable' || sign === 'rebalance') return true;
      if (sign instanceof StreamError) throw sign;
      if (sign === 'unknown') {
        this.#lose(life);
        return false;
      }
      if (generation === this.#generation) await this.#untilSettled(lastMs);
    }
    return false;
  }

  /** Gives all tasks up cleanly, then the place in the group, and ends the session. */
  async close(): Promise<void> {
    this.#closing = true;
    if (this.#running !== null) {
      this.#release([...this.#claims.keys()]);
      while (this.#releases.size > 0) await Promise.all(this.#releases);
    }
    this.#over.abort();
    this.#wake();
    await this.#running?.catch(() => {});
    await this.#session.leave().catch((error: StreamError) => {
      this.#options.logger.warn(
        { code: error.code },
        `the group is not told that this process leaves: ${error.message}`,
      );
    });
    this.#name(this.#session.memberId);
    await this.#session.close();
  }

  async #live(): Promise<void> {
    const { signal } = this.#over;
    for (const memberId of this.#options.departed ?? []) await this.#dismiss(memberId);
    while (!signal.aborted) {
      await atMost(this.#clock, LOST_PATIENCE_MS, this.#losing);
      const life = this.#life;
      try {
        if (await this.#round()) await this.#stay();
      } catch (error) {
        if (signal.aborted) return;
        await this.#troubled(error, life);
      }
    }
  }

  async #dismiss(memberId: string): Promise<void> {
    try {
      await this.#session.dismiss(memberId);
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      this.#options.logger.warn(
        { code: error.code, memberId },
        `a dead member keeps its place for now: ${error.message}`,
      );
    }
  }

  /** One round; false when it did not come to an end and the next one is due. */
  async #round(): Promise<boolean> {
    const life = this.#life;
    // Whoever has no name any more owns nothing, though nobody has said so here yet.
    if (this.#generation >= 0 && this.#session.memberId === null) {
      this.#lose(life);
      return false;
    }
    this.#roundDue = false;
    const word = this.#word();
    const round = await this.#voice.accompanied(this.#generation, ['ended', 'unknown'], (signal) =>
      this.#session.join(word, signal),
    );
    if (round === null) return false;
    this.#name(round.memberId);
    const overtaken: Sign[] = ['ended', 'unknown', 'rebalance'];
    const bytes = await this.#voice.accompanied(round.generation, overtaken, async (signal) => {
      return this.#session.sync(round.generation, await this.#lead(round), signal);
    });
    // The group may have forgotten this process while it was in the round.
    if (bytes === null || life !== this.#life) return false;
    this.#leader = round.members !== null;
    const picture = decodePicture(bytes);
    if (picture === null) this.#troubleWithPicture();
    else this.#apply(round, picture);
    this.#voice.heard(null);
    return true;
  }

  #lead(round: GroupRound): Promise<ReadonlyMap<string, Uint8Array>> {
    const { clock, logger } = this.#options;
    return leadRound({ round, picture: this.#picture, wanted: () => this.#duties.wanted(), clock, logger });
  }

  #troubleWithPicture(): void {
    this.#options.logger.warn({}, 'the leader of the group said nothing that this process understands; it asks again');
    this.#wishLater();
  }

  /** Signs of life until a round is due. */
  async #stay(): Promise<void> {
    const life = this.#life;
    while (!this.#over.signal.aborted && !this.#roundDue && life === this.#life) {
      await this.#sleep(this.#heartbeatMs);
      if (this.#over.signal.aborted || this.#roundDue || life !== this.#life) return;
      const sign = await this.#voice.sign(this.#generation);
      if (life !== this.#life) return;
      if (sign === 'unknown') this.#lose(life);
      else if (sign === 'rebalance' || sign === 'ended') return;
    }
  }

  /** The same bytes while there is nothing new to say: whoever asks again for a round must not begin another one. */
  #word(): Buffer {
    const { processId, address, slots, engineVersion } = this.#options;
    const weights = this.#duties.weights();
    const claims = Array.from(this.#claims, ([task, { slot, releasing }]) => {
      return { task, slot, releasing, weight: weights.get(task) ?? null };
    });
    const word = {
      processId,
      address,
      slots: this.#closing ? 0 : slots,
      engineVersion,
      generation: this.#generation,
      claims,
      wishes: this.#wishes,
    };
    const about = JSON.stringify({ ...word, claims: claims.map(({ task, releasing }) => [task, releasing]) });
    if (this.#said?.about !== about) this.#said = { about, bytes: encodeWord(word) };
    return this.#said.bytes;
  }

  #apply({ generation, memberId }: GroupRound, picture: Picture): void {
    this.#generation = generation;
    this.#picture = picture;
    const mine = new Map<string, number>();
    for (const { task, member, slot } of picture.tasks) {
      if (picture.members[member].memberId === memberId) mine.set(task, slot);
    }
    const revoked: string[] = [];
    for (const [task, claim] of this.#claims) if (!mine.has(task) && !claim.releasing) revoked.push(task);
    for (const [task, slot] of mine) {
      // What is being given up is given up: it is handed out again when that is done.
      const claim = this.#claims.get(task);
      if (claim?.releasing === false) claim.slot = slot;
      else if (!this.#closing && claim === undefined) this.#claims.set(task, { slot, releasing: false });
    }
    this.#release(revoked);
    this.#show(memberId);
    if (picture.unfinished && this.#leader) this.#wishLater();
    this.#settled.resolve();
    this.#settled = Promise.withResolvers();
  }

  #show(memberId: string): void {
    const mine = new Map<string, number>();
    for (const [task, { slot, releasing }] of this.#claims) {
      if (!releasing && task !== CONTROL_TASK) mine.set(task, slot);
    }
    const ownsControl = this.#claims.get(CONTROL_TASK)?.releasing === false;
    this.#view = viewOf(this.#generation, memberId, this.#picture, mine, ownsControl);
    this.#duties.assigned(this.#view);
  }

  /** The tasks are claimed until they ended; then the group is told at once. */
  #release(tasks: readonly string[]): void {
    const revoked = tasks.filter((task) => this.#claims.get(task)?.releasing === false);
    if (revoked.length === 0) return;
    for (const task of revoked) this.#claims.get(task)!.releasing = true;
    const life = this.#life;
    const releasing = this.#duties
      .revoke(revoked)
      .catch((error: unknown) => {
        this.#options.logger.error({ tasks: revoked }, `tasks that move did not stop cleanly: ${error}`);
      })
      .then(() => {
        this.#releases.delete(releasing);
        if (life !== this.#life) return;
        for (const task of revoked) this.#claims.delete(task);
        this.#wish();
      });
    this.#releases.add(releasing);
  }

  /** The group went on without this process: whatever it held may be others'. */
  #lose(life: number): void {
    if (life !== this.#life) return;
    const tasks = this.#claims.size;
    this.#options.logger.warn({ tasks }, `the group went on without this process: its ${tasks} tasks are ended`);
    this.#life++;
    this.#generation = -1;
    this.#leader = false;
    this.#picture = null;
    this.#claims.clear();
    this.#name(null);
    this.#view = { ...this.#view, mine: new Map(), ownsControl: false };
    this.#losing = Promise.resolve(this.#duties.lost()).catch((error: unknown) => {
      this.#options.logger.error({}, `tasks that are lost did not end: ${error}`);
    });
    this.#settled.resolve();
    this.#settled = Promise.withResolvers();
    this.#wish();
  }

  async #troubled(error: unknown, life: number): Promise<void> {
    if (!(error instanceof StreamError)) throw error;
    if (error.code === 'member-unknown') return this.#lose(life);
    if (AGAIN.includes(error.code)) return;
    await this.#voice.failed(error);
  }

  #wish(): void {
    this.#roundDue = true;
    this.#wake();
  }

  async #wishLater(): Promise<void> {
    const generation = this.#generation;
    await this.#clock.sleep(UNFINISHED_PAUSE_MS, this.#over.signal);
    if (!this.#over.signal.aborted && generation === this.#generation) this.rebalance();
  }

  #name(memberId: string | null): void {
    if (memberId !== this.#memberId) this.#duties.named?.(memberId);
    this.#memberId = memberId;
  }

  #wake(): void {
    this.#nap.abort();
  }

  async #sleep(ms: number): Promise<void> {
    this.#nap = new AbortController();
    if (!this.#roundDue && !this.#over.signal.aborted) await this.#clock.sleep(ms, this.#nap.signal);
  }

  /** Throws log-timeout when it takes too long. */
  async #untilSettled(lastMs: number): Promise<void> {
    const timer = new AbortController();
    const leftMs = Math.max(0, lastMs - this.#clock.monotonicMs());
    await Promise.race([this.#settled.promise, this.#clock.sleep(leftMs, timer.signal)]);
    timer.abort();
    if (this.#clock.monotonicMs() < lastMs) return;
    throw new StreamError('log-timeout', 'the group does not say who owns what', 'look at the log; it is asked again');
  }
}
