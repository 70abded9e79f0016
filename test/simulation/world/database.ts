// Owns a time-series database outside of the log: takes requests, refuses some, is slow, overloaded, away or hidden behind
// somebody who answers for it; loses requests and answers. Remembers what it took, from whom, in which order.

import type { Answer, Receiver } from '#runtime/effect/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { readWriteRequest, type WrittenSample } from '#test/simulation/oracle/remote-write.ts';
import { WORLD_EPOCH_MS } from '#test/simulation/world/clock.ts';
import type { Process } from '#test/simulation/world/process.ts';
import type { Random } from '#test/simulation/world/random.ts';

/** Probabilities per request. */
export interface DatabaseFaults {
  readonly latencyMs: number;
  readonly overloaded: number;
  readonly failing: number;
  readonly requestLost: number;
  readonly answerLost: number;
  readonly slow: number;
  /** Takes what it may of a request that it refuses. */
  readonly takesInPart: boolean;
}

export const WELL: DatabaseFaults = {
  ...{ latencyMs: 1, overloaded: 0, failing: 0, requestLost: 0, answerLost: 0, slow: 0 },
  takesInPart: false,
};

export function drawDatabaseFaults(random: Random): DatabaseFaults {
  const draw = (rare: number, frequent: number) => random.pick([0, 0, rare, frequent]);
  return {
    latencyMs: random.pick([1, 10, 100]),
    overloaded: draw(0.05, 0.3),
    failing: draw(0.05, 0.2),
    requestLost: draw(0.01, 0.05),
    answerLost: draw(0.02, 0.1),
    slow: draw(0.02, 0.1),
    takesInPart: random.chance(0.5),
  };
}

/** How a client sees it for a while: nobody there, everything refused by somebody before it, or a page that says hello. */
export type Veil = 'down' | 'refuses-all' | 'page' | null;

export interface Taken extends WrittenSample {
  /** Number of the connection that brought it. */
  readonly connection: number;
  /** Whether it came from the process that owned the tasks then. */
  readonly byOwner: boolean;
}

interface Client {
  readonly process: Process;
  readonly connection: number;
  readonly isOwner: () => boolean;
  /** Its last word that was no refusal: the database took something. Only then may it believe who refuses. */
  took: boolean;
}

const TIMEOUT_MS = 30_000;
const SLOW_MS = 8_000;

export class Database {
  faults: DatabaseFaults;
  veil: Veil = null;
  /** What somebody before it refused in its place. */
  readonly turnedAway: WrittenSample[] = [];
  /** Whether it asks for pauses by date, too. */
  datesAsked = true;
  /** In the order in which it took them. */
  readonly taken: Taken[] = [];
  readonly counts: Record<string, number> = {};
  readonly #random: Random;
  readonly #nowMs: () => number;
  readonly #refuses: (series: string) => boolean;
  #connections = 0;

  constructor(random: Random, faults: DatabaseFaults, nowMs: () => number, refuses: (series: string) => boolean) {
    this.#random = random;
    this.#nowMs = nowMs;
    this.faults = faults;
    this.#refuses = refuses;
  }

  get connections(): number {
    return this.#connections;
  }

  connect(process: Process, isOwner: () => boolean): Receiver {
    const connection = this.#connections++;
    const client: Client = { process, connection, isOwner, took: false };
    let busy = false;
    return {
      address: 'http://database/api/v1/write',
      send: async (body, signal) => {
        if (busy) throw new Error('two requests at once on one connection');
        busy = true;
        try {
          return await this.#exchange(client, Buffer.from(body), signal);
        } finally {
          busy = false;
        }
      },
      close() {},
    };
  }

  #exchange(client: Client, body: Buffer, signal: AbortSignal): Promise<Answer> {
    const { process } = client;
    if (!process.alive) return process.never;
    const { scheduler } = process;
    const random = this.#random;
    const { answerLost, latencyMs, requestLost, slow } = this.faults;
    return new Promise((resolve, reject) => {
      const unavailable = (what: string) =>
        reject(new StreamError('receiver-unavailable', what, 'see that the receiver runs and can be reached'));
      const timeout = scheduler.schedule(TIMEOUT_MS, 'database time-out', process, () =>
        unavailable('does not answer'),
      );
      signal.addEventListener('abort', () => unavailable('given up'), { once: true });
      const onWayMs = latencyMs * random.between(0.3, 2) + (this.#happens('slow', slow) ? random.float() * SLOW_MS : 0);
      if (this.#happens('request-lost', requestLost)) return;
      scheduler.schedule(onWayMs, 'database request', null, () => {
        const answer = this.#serve(client, body);
        if (answer !== null && this.#happens('answer-lost', answerLost)) return;
        scheduler.schedule(latencyMs * random.between(0.3, 2), 'database answer', process, () => {
          scheduler.cancel(timeout);
          if (answer === null) unavailable('connection refused');
          else resolve(answer);
        });
      });
    });
  }

  /** Null: nobody is there. */
  #serve(client: Client, body: Buffer): Answer | null {
    const { failing, overloaded, takesInPart } = this.faults;
    if (this.veil !== null) this.#count(`behind: ${this.veil}`);
    if (this.veil === 'refuses-all') {
      if (client.took) this.turnedAway.push(...readWriteRequest(body));
      return answer(400, 'no route');
    }
    const { took } = client;
    client.took = false;
    if (this.veil === 'down') return null;
    if (this.veil === 'page')
      return { ...answer(200, '<html>welcome</html>'), contentType: 'text/html; charset=utf-8' };
    if (this.#happens('overloaded', overloaded)) return answer(429, 'too many samples', this.#retryAfter());
    if (this.#happens('failing', failing)) return answer(this.#random.pick([500, 503]), 'out of order');
    const samples = readWriteRequest(body);
    const refused = samples.filter(({ series }) => this.#refuses(series));
    client.took = refused.length === 0 || took;
    if (refused.length === 0) this.#take(client, samples);
    else {
      this.#count('refused');
      if (takesInPart) {
        this.#take(
          client,
          samples.filter((one) => !refused.includes(one)),
        );
      }
      return answer(400, `cannot take ${refused[0].series}`);
    }
    return answer(204, '');
  }

  #take({ connection, isOwner }: Client, samples: readonly WrittenSample[]): void {
    const byOwner = isOwner();
    for (const sample of samples) this.taken.push({ ...sample, connection, byOwner });
  }

  #retryAfter(): string | null {
    const random = this.#random;
    const seconds = random.range(1, 3);
    // To a client whose clock is an hour behind, a date asks for an hour.
    const date = new Date(WORLD_EPOCH_MS + this.#nowMs() + seconds * 1_000).toUTCString();
    return random.pick([null, String(seconds), this.datesAsked ? date : null]);
  }

  #happens(fault: string, probability: number): boolean {
    if (!this.#random.happens(`database-${fault}`, probability)) return false;
    this.#count(fault);
    return true;
  }

  #count(name: string): void {
    this.counts[name] = (this.counts[name] ?? 0) + 1;
  }
}

function answer(status: number, message: string, retryAfter: string | null = null): Answer {
  return { status, message, retryAfter, contentType: null };
}
