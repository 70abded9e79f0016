// Owns the group of a log that one process holds by a lock: this process is its only member and always leads. It lasts
// as long as the log answers. A process opens one session of a group; a second one would be told the same.

import type { GroupOptions, GroupRound, GroupSession, GroupState } from '#runtime/log/contract.ts';
import type { EmbeddedConnection } from '#runtime/log/embedded/embedded-connection.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';

export class EmbeddedGroupSession implements GroupSession {
  readonly #connection: EmbeddedConnection;
  readonly #group: string;
  #memberId: string | null = null;
  #generation = 0;
  #members = 0;
  #assignment: Buffer = Buffer.alloc(0);
  #inRound = false;
  #closed = false;

  constructor(connection: EmbeddedConnection, { group }: GroupOptions) {
    this.#connection = connection;
    this.#group = group;
  }

  get memberId(): string | null {
    return this.#memberId;
  }

  join(metadata: Uint8Array): Promise<GroupRound> {
    return this.#exclusively(async () => {
      await this.#answers();
      const memberId = this.#memberId ?? `${this.#group}-${++this.#members}`;
      this.#memberId = memberId;
      this.#generation++;
      this.#assignment = Buffer.alloc(0);
      const members = [{ memberId, metadata: Buffer.from(metadata) }];
      return { generation: this.#generation, memberId, leaderId: memberId, members };
    });
  }

  sync(generation: number, assignments: ReadonlyMap<string, Uint8Array>): Promise<Buffer> {
    return this.#exclusively(async () => {
      const memberId = await this.#member(generation);
      this.#assignment = Buffer.from(assignments.get(memberId) ?? []);
      return this.#assignment;
    });
  }

  async heartbeat(generation: number): Promise<GroupState> {
    await this.#member(generation);
    return 'stable';
  }

  async leave(): Promise<void> {
    this.#memberId = null;
  }

  /** Who else was a member had the lock, and is gone with it. */
  async dismiss(): Promise<void> {}

  async close(): Promise<void> {
    this.#closed = true;
  }

  /** Throws when the log is gone. */
  async #answers(): Promise<void> {
    if (!this.#closed) await this.#connection.call('identity', null);
    if (this.#closed) {
      const message = `the member of group ${this.#group} was closed`;
      throw new StreamError('log-unavailable', message, 'open the log again');
    }
  }

  async #member(generation: number): Promise<string> {
    await this.#answers();
    if (this.#memberId === null) {
      throw new StreamError('member-unknown', `no member of group ${this.#group}`, 'none needed: join anew');
    }
    if (generation !== this.#generation) {
      const message = `generation ${generation} of group ${this.#group} is over`;
      throw new StreamError('generation-ended', message, 'none needed: join again');
    }
    return this.#memberId;
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    invariant(!this.#inRound, `two rounds at once in group ${this.#group}`);
    this.#inRound = true;
    try {
      return await work();
    } finally {
      this.#inRound = false;
    }
  }
}
