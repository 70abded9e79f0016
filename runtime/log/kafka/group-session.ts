// Owns one member of a Kafka group: its id, its requests to the coordinator with their deadlines, and what the errors
// mean. Rounds and signs of life have a connection each, because a broker answers a connection in order and a join waits
// for the other members. What to do about an error is decided elsewhere.

import type { GroupOptions, GroupRound, GroupSession, GroupState } from '#runtime/log/contract.ts';
import {
  COORDINATOR_NOT_AVAILABLE,
  errorName,
  GROUP_AUTHORIZATION_FAILED,
  GROUP_MAX_SIZE_REACHED,
  ILLEGAL_GENERATION,
  INCONSISTENT_GROUP_PROTOCOL,
  INVALID_GROUP_ID,
  INVALID_SESSION_TIMEOUT,
  isCoordinatorMoved,
  MEMBER_ID_REQUIRED,
  NONE,
  REBALANCE_IN_PROGRESS,
  UNKNOWN_MEMBER_ID,
} from '#runtime/log/kafka/broker-error.ts';
import { type Cluster, unavailable } from '#runtime/log/kafka/cluster.ts';
import { OwnConnections } from '#runtime/log/kafka/own-connections.ts';
import type { WireRequest } from '#runtime/log/kafka/wire/codec.ts';
import {
  type GroupPlace,
  heartbeatRequest,
  joinGroupRequest,
  leaveGroupRequest,
  syncGroupRequest,
} from '#runtime/log/kafka/wire/group.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';

const PROTOCOL_TYPE = 'millrace';
/** What the bytes of members are written in; those who know another one alone cannot share a group. */
const PROTOCOL = 'rounds-1';
const SESSION_TIMEOUT_MS = 10_000;
const PAUSE_MS = 50;
/** A join waits for the others; beyond that, as long as any request may take. */
const JOIN_MARGIN_MS = 5_000;

export class KafkaGroupSession implements GroupSession {
  readonly #cluster: Cluster;
  readonly #group: string;
  readonly #sessionTimeoutMs: number;
  readonly #rebalanceTimeoutMs: number;
  readonly #rounds: OwnConnections;
  readonly #signs: OwnConnections;
  readonly #onClosed: () => void;
  #memberId: string | null = null;
  #coordinator = -1;
  #inRound = false;
  #closed = false;

  constructor(cluster: Cluster, options: GroupOptions, onClosed: () => void) {
    this.#cluster = cluster;
    this.#group = options.group;
    this.#sessionTimeoutMs = options.sessionTimeoutMs ?? SESSION_TIMEOUT_MS;
    this.#rebalanceTimeoutMs = options.rebalanceTimeoutMs ?? SESSION_TIMEOUT_MS;
    this.#rounds = new OwnConnections(cluster);
    this.#signs = new OwnConnections(cluster);
    this.#onClosed = onClosed;
  }

  get memberId(): string | null {
    return this.#memberId;
  }

  join(metadata: Uint8Array, signal?: AbortSignal): Promise<GroupRound> {
    const timeoutMs = this.#rebalanceTimeoutMs + JOIN_MARGIN_MS;
    return this.#exclusively(signal, async () => {
      for (;;) {
        const asked = this.#memberId;
        const request = joinGroupRequest({
          group: this.#group,
          sessionTimeoutMs: this.#sessionTimeoutMs,
          rebalanceTimeoutMs: this.#rebalanceTimeoutMs,
          memberId: asked ?? '',
          protocolType: PROTOCOL_TYPE,
          protocol: PROTOCOL,
          metadata,
        });
        const { error, generation, leaderId, memberId, members } = await this.#ask(this.#rounds, request, timeoutMs);
        if (error === MEMBER_ID_REQUIRED && asked === null) {
          this.#memberId = memberId;
          continue;
        }
        if (error !== NONE) throw this.#fault(request.name, error, asked);
        this.#memberId = memberId;
        return { generation, memberId, leaderId, members: leaderId === memberId ? members : null };
      }
    });
  }

  sync(generation: number, assignments: ReadonlyMap<string, Uint8Array>, signal?: AbortSignal): Promise<Buffer> {
    return this.#exclusively(signal, async () => {
      const place = this.#place(generation);
      const request = syncGroupRequest(place, assignments);
      const timeoutMs = this.#rebalanceTimeoutMs + JOIN_MARGIN_MS;
      const { error, assignment } = await this.#ask(this.#rounds, request, timeoutMs);
      if (error !== NONE) throw this.#fault(request.name, error, place.memberId);
      return assignment;
    });
  }

  async heartbeat(generation: number): Promise<GroupState> {
    const place = this.#place(generation);
    const request = heartbeatRequest(place);
    const { error } = await this.#ask(this.#signs, request, this.#signTimeoutMs);
    if (error === NONE) return 'stable';
    if (error === REBALANCE_IN_PROGRESS) return 'rebalance';
    throw this.#fault(request.name, error, place.memberId);
  }

  async leave(): Promise<void> {
    const memberId = this.#memberId;
    if (memberId === null) return;
    await this.dismiss(memberId);
    if (this.#memberId === memberId) this.#memberId = null;
  }

  async dismiss(memberId: string): Promise<void> {
    const request = leaveGroupRequest(this.#group, memberId);
    const { error } = await this.#ask(this.#signs, request, this.#signTimeoutMs);
    if (error !== NONE && error !== UNKNOWN_MEMBER_ID) throw this.#fault(request.name, error, memberId);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#rounds.closeAll();
    this.#signs.closeAll();
    this.#onClosed();
  }

  /** Two signs of life fit into a session, though the first got lost. */
  get #signTimeoutMs(): number {
    return Math.min(this.#cluster.options.requestTimeoutMs, Math.ceil(this.#sessionTimeoutMs / 3));
  }

  #place(generation: number): GroupPlace {
    const memberId = this.#memberId;
    if (memberId === null) throw this.#fault('no member', UNKNOWN_MEMBER_ID, null);
    return { group: this.#group, memberId, generation };
  }

  /** Sends to the coordinator, again while it is moving. */
  async #ask<T extends { readonly error: number }>(
    connections: OwnConnections,
    request: WireRequest<T>,
    timeoutMs: number,
  ): Promise<T> {
    const { clock } = this.#cluster.options;
    const deadlineMs = clock.monotonicMs() + timeoutMs;
    for (;;) {
      try {
        if (this.#coordinator < 0) {
          this.#coordinator = await this.#cluster.coordinator('group', this.#group, deadlineMs);
        }
        if (this.#closed) throw unavailable(`the member of group ${this.#group} was closed`);
        const connection = await connections.to(this.#coordinator);
        const answer = await connection.request(request, Math.max(1, deadlineMs - clock.monotonicMs()));
        if (!isCoordinatorMoved(answer.error)) return answer;
        if (clock.monotonicMs() > deadlineMs) throw unavailable(`${request.name}: ${errorName(answer.error)}`);
      } catch (error) {
        // Perhaps it is somebody else by now.
        this.#coordinator = -1;
        connections.closeAll();
        throw error;
      }
      this.#coordinator = -1;
      await this.#cluster.pause(PAUSE_MS);
    }
  }

  /** The signal ends what waits for the other members; looking up and connecting end by themselves. */
  async #exclusively<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    invariant(!this.#inRound, `two rounds at once in group ${this.#group}`);
    this.#inRound = true;
    const abort = () => this.#rounds.closeAll();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await work();
    } finally {
      signal?.removeEventListener('abort', abort);
      this.#inRound = false;
    }
  }

  /** `asked`: the member that the request was for; it may have got another id since. */
  #fault(what: string, error: number, asked: string | null): StreamError {
    const message = `group ${this.#group}, ${what}: ${errorName(error)}`;
    switch (error) {
      case UNKNOWN_MEMBER_ID:
        if (this.#memberId === asked) this.#memberId = null;
        return new StreamError('member-unknown', message, 'none needed: this process joins anew');
      case ILLEGAL_GENERATION:
        return new StreamError('generation-ended', message, 'none needed: this process joins again');
      case REBALANCE_IN_PROGRESS:
        return new StreamError('rebalance-in-progress', message, 'none needed: this process joins again');
      case COORDINATOR_NOT_AVAILABLE:
        return unavailable(message);
    }
    const remedy = REMEDIES[error];
    if (remedy !== undefined) return new StreamError('group-refused', message, remedy);
    return new StreamError('log-protocol', message, 'check the broker logs');
  }
}

const REMEDIES: Readonly<Record<number, string>> = {
  [INCONSISTENT_GROUP_PROTOCOL]: 'give this installation a namespace of its own: the group has members of another kind',
  [INVALID_GROUP_ID]: 'use another namespace',
  [INVALID_SESSION_TIMEOUT]: "take a session time-out between the brokers' group.min and group.max.session.timeout.ms",
  [GROUP_AUTHORIZATION_FAILED]: 'allow this user to read the group',
  [GROUP_MAX_SIZE_REACHED]: "raise the brokers' group.max.size, or run fewer processes",
};
