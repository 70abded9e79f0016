// Owns a member of a simulated group on the client's side, as the Kafka adapter does it: the member id, a coordinator
// that is asked again while it is busy, and what its errors are called.

import type { GroupOptions, GroupRound, GroupSession, GroupState } from '#runtime/log/contract.ts';
import { type ErrorCode, invariant, StreamError } from '#runtime/std/errors.ts';
import type { RequestKind } from '#test/simulation/world/log-channel.ts';
import type { SimulatedCluster } from '#test/simulation/world/log-cluster.ts';
import { GROUP_ERRORS, type SimulatedJoinAnswer, type SimulatedSyncAnswer } from '#test/simulation/world/log-group.ts';
import type { Process } from '#test/simulation/world/process.ts';

const TIMEOUT_MS = 10_000;
const RETRY_MS = 50;
const JOIN_MARGIN_MS = 5_000;

type Asked = Pick<SimulatedJoinAnswer, 'error'>;

export class SimulatedGroupSession implements GroupSession {
  readonly #cluster: SimulatedCluster;
  readonly #process: Process;
  readonly #group: string;
  readonly #sessionMs: number;
  readonly #rebalanceMs: number;
  readonly #closed = Promise.withResolvers<never>();
  #memberId: string | null = null;
  #inRound = false;

  constructor(cluster: SimulatedCluster, process: Process, options: GroupOptions) {
    this.#cluster = cluster;
    this.#process = process;
    this.#group = options.group;
    this.#sessionMs = options.sessionTimeoutMs ?? TIMEOUT_MS;
    this.#rebalanceMs = options.rebalanceTimeoutMs ?? TIMEOUT_MS;
    this.#closed.promise.catch(() => {});
  }

  get memberId(): string | null {
    return this.#memberId;
  }

  join(metadata: Uint8Array, signal?: AbortSignal): Promise<GroupRound> {
    const { groups } = this.#cluster;
    return this.#exclusively(signal, async () => {
      for (;;) {
        const asked = this.#memberId;
        const request = {
          group: this.#group,
          memberId: asked ?? '',
          sessionMs: this.#sessionMs,
          rebalanceMs: this.#rebalanceMs,
          metadata: Buffer.from(metadata),
        };
        const deadlineMs = this.#rebalanceMs + JOIN_MARGIN_MS;
        const answer = await this.#ask<SimulatedJoinAnswer>('group-join', deadlineMs, (reply) =>
          groups.join(request, reply),
        );
        const { error, generation, memberId, leaderId, members } = answer;
        if (error === GROUP_ERRORS.memberIdRequired) {
          this.#memberId = memberId;
          continue;
        }
        if (error !== GROUP_ERRORS.none) throw this.#fault(error, asked);
        return { generation, memberId, leaderId, members: leaderId === memberId ? members : null };
      }
    });
  }

  sync(generation: number, assignments: ReadonlyMap<string, Uint8Array>, signal?: AbortSignal): Promise<Buffer> {
    return this.#exclusively(signal, async () => {
      const at = this.#place(generation);
      const copies = new Map(Array.from(assignments, ([id, bytes]) => [id, Buffer.from(bytes)]));
      const deadlineMs = this.#rebalanceMs + JOIN_MARGIN_MS;
      const { error, assignment } = await this.#ask<SimulatedSyncAnswer>('group-sync', deadlineMs, (reply) =>
        this.#cluster.groups.sync(at, copies, reply),
      );
      if (error !== GROUP_ERRORS.none) throw this.#fault(error, at.memberId);
      return assignment;
    });
  }

  async heartbeat(generation: number): Promise<GroupState> {
    const { memberId } = this.#place(generation);
    const { error } = await this.#ask<Asked>('group-sign', this.#signMs, (reply) =>
      reply({ error: this.#cluster.groups.heartbeat(this.#group, memberId, generation) }),
    );
    if (error === GROUP_ERRORS.none) return 'stable';
    if (error === GROUP_ERRORS.rebalanceInProgress) return 'rebalance';
    throw this.#fault(error, memberId);
  }

  async leave(): Promise<void> {
    const memberId = this.#memberId;
    if (memberId === null) return;
    await this.dismiss(memberId);
    if (this.#memberId === memberId) this.#memberId = null;
  }

  async dismiss(memberId: string): Promise<void> {
    await this.#ask<Asked>('group-sign', this.#signMs, (reply) =>
      reply({ error: this.#cluster.groups.leave(this.#group, memberId) }),
    );
  }

  async close(): Promise<void> {
    this.#closed.reject(new StreamError('log-unavailable', `member of ${this.#group} was closed`, 'open another'));
  }

  get #signMs(): number {
    return Math.ceil(this.#sessionMs / 3);
  }

  #place(generation: number) {
    const memberId = this.#memberId;
    if (memberId === null) throw this.#fault(GROUP_ERRORS.unknownMember, null);
    return { group: this.#group, memberId, generation };
  }

  async #ask<T extends Asked>(
    kind: RequestKind,
    deadlineMs: number,
    serve: (reply: (answer: T) => void) => void,
  ): Promise<T> {
    const { channel } = this.#cluster;
    const { scheduler } = this.#process;
    const lastMs = scheduler.nowMs + deadlineMs;
    for (;;) {
      const asked = channel.request<T | null>(
        this.#process,
        kind,
        (answer) => (this.#cluster.coordinatorError() === GROUP_ERRORS.none ? serve(answer) : answer(null)),
        Math.max(1, lastMs - scheduler.nowMs),
      );
      const answer = await Promise.race([asked, this.#closed.promise]);
      if (answer !== null) return answer;
      if (scheduler.nowMs >= lastMs) throw new StreamError('log-unavailable', 'coordinator is busy', 'wait');
      await this.#process.after(RETRY_MS, 'retry', () => undefined);
    }
  }

  async #exclusively<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    invariant(!this.#inRound, `two rounds at once in group ${this.#group}`);
    this.#inRound = true;
    const ended = Promise.withResolvers<never>();
    const abort = () => ended.reject(new StreamError('log-unavailable', 'the wait was ended', 'join again'));
    signal?.addEventListener('abort', abort, { once: true });
    try {
      if (signal?.aborted) abort();
      const working = work();
      working.catch(() => {});
      return await Promise.race([working, ended.promise]);
    } finally {
      signal?.removeEventListener('abort', abort);
      this.#inRound = false;
    }
  }

  #fault(error: number, asked: string | null): StreamError {
    if (error === GROUP_ERRORS.unknownMember && this.#memberId === asked) this.#memberId = null;
    const message = `group ${this.#group}, ${this.#process.name}: error ${error}`;
    return new StreamError(CODES[error] ?? 'log-protocol', message, 'none needed: join again');
  }
}

const CODES: Readonly<Record<number, ErrorCode>> = {
  [GROUP_ERRORS.unknownMember]: 'member-unknown',
  [GROUP_ERRORS.illegalGeneration]: 'generation-ended',
  [GROUP_ERRORS.rebalanceInProgress]: 'rebalance-in-progress',
  [GROUP_ERRORS.invalidSession]: 'group-refused',
};
