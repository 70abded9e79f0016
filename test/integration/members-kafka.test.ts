// Three members over a real Kafka, each with connections of its own: how long the others need to notice one that leaves,
// one whose process is killed and one that is stopped; what the one that was stopped hears; and what Kafka's tools show.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Membership } from '#runtime/control/membership.ts';
import { CONTROL_TASK, type TaskLoad } from '#runtime/control/round-plan.ts';
import type { GroupSession, LogClient } from '#runtime/log/contract.ts';
import { connectKafka } from '#runtime/log/kafka/kafka-client.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { silentLogger } from '#runtime/std/logger.ts';
import { kafkaJs } from '#test/harness/kafkajs-client.ts';
import { sharedKafka } from '#test/harness/shared-kafka.ts';

const SESSION_MS = 6_000;
const TASKS: readonly TaskLoad[] = Array.from({ length: 12 }, (_, i) => ({
  task: `j/s/${i}`,
  job: 'j',
  parallelism: 99,
}));
const GROUP = `members-${process.pid}-${Date.now().toString(36)}`;

let brokers: readonly string[];

/** A session that can die or be stopped as a process does: nothing of it reaches the group any more. */
class MortalSession implements GroupSession {
  readonly #inner: GroupSession;
  silent = Promise.withResolvers<void>();
  #stopped = false;

  constructor(inner: GroupSession) {
    this.#inner = inner;
  }

  get memberId(): string | null {
    return this.#inner.memberId;
  }

  stop(): void {
    this.#stopped = true;
    this.silent = Promise.withResolvers();
  }

  goOn(): void {
    this.#stopped = false;
    this.silent.resolve();
  }

  async #awake(): Promise<void> {
    if (this.#stopped) await this.silent.promise;
  }

  async join(metadata: Uint8Array, signal?: AbortSignal) {
    await this.#awake();
    return this.#inner.join(metadata, signal);
  }

  async sync(generation: number, assignments: ReadonlyMap<string, Uint8Array>, signal?: AbortSignal) {
    await this.#awake();
    return this.#inner.sync(generation, assignments, signal);
  }

  async heartbeat(generation: number) {
    await this.#awake();
    return this.#inner.heartbeat(generation);
  }

  leave = () => this.#inner.leave();
  dismiss = (memberId: string) => this.#inner.dismiss(memberId);
  close = () => this.#inner.close();
}

class Member {
  readonly name: string;
  readonly client: LogClient;
  readonly session: MortalSession;
  readonly membership: Membership;
  readonly running = new Set<string>();
  readonly stops: string[] = [];
  losses = 0;
  dead = false;

  constructor(name: string, departed: readonly string[] = []) {
    this.name = name;
    this.client = connectKafka({ brokers, clientId: name, clock: systemClock });
    this.session = new MortalSession(this.client.group({ group: GROUP, sessionTimeoutMs: SESSION_MS }));
    const options = { processId: name, address: `http://${name}`, slots: 2, engineVersion: '0', departed };
    this.membership = new Membership(
      { ...options, session: this.session, clock: systemClock, logger: silentLogger },
      {
        wanted: async () => TASKS,
        weights: () => new Map(),
        assigned: ({ mine, ownsControl }) => {
          for (const task of mine.keys()) this.running.add(task);
          if (ownsControl) this.running.add(CONTROL_TASK);
        },
        revoke: async (tasks) => {
          await systemClock.sleep(20);
          for (const task of tasks) this.running.delete(task);
          this.stops.push(...tasks);
        },
        lost: () => {
          this.losses++;
          this.running.clear();
        },
      },
    );
    void this.membership.run();
  }

  async end(): Promise<void> {
    this.dead = true;
    await this.membership.close();
    await this.client.close();
  }

  /** Its sockets close, and nothing was said. */
  async kill(): Promise<string> {
    this.dead = true;
    const id = this.session.memberId;
    this.session.stop();
    await this.client.close();
    return id!;
  }
}

const members: Member[] = [];

function start(name: string, departed: readonly string[] = []): Member {
  const member = new Member(name, departed);
  members.push(member);
  return member;
}

const alive = () => members.filter(({ dead }) => !dead);

/** Every task runs once, nothing is on its way, and all alive know each other, of the same round. */
function isSettled(): boolean {
  const all = alive().flatMap(({ running }) => [...running]);
  const views = alive().map(({ membership }) => membership.view);
  const known = views.every(({ members: others, moving, generation }) => {
    return others.length === views.length && moving.size === 0 && generation === views[0].generation;
  });
  return known && all.length === TASKS.length + 1 && new Set(all).size === all.length;
}

/** Milliseconds until all is settled, with these alive. */
async function settled(within: number): Promise<number> {
  const from = performance.now();
  while (!isSettled()) {
    if (performance.now() - from > within) {
      throw new Error(
        `not settled after ${within} ms: ${alive().map(({ name, running }) => `${name} ${running.size}`)}`,
      );
    }
    await systemClock.sleep(10);
  }
  return Math.round(performance.now() - from);
}

beforeAll(async () => {
  brokers = (await sharedKafka()).brokers;
});

afterAll(async () => {
  for (const member of alive()) await member.end();
});

/** A busy machine is no failure; sessions are. */
const SLACK_MS = 15_000;

describe('three members', () => {
  test('share the tasks out, and what stays is not stopped', async () => {
    const first = start('p0');
    await settled(SLACK_MS);
    expect(first.running.size).toBe(TASKS.length + 1);
    start('p1');
    start('p2');
    await settled(SLACK_MS);
    expect(members.map(({ running }) => running.size).sort()).toEqual([4, 4, 5]);
    expect(first.stops.length).toBe(8);
    expect(members[1].stops.length + members[2].stops.length).toBeLessThanOrEqual(2);
  });

  test('are a group of their own kind for everybody to see', async () => {
    const admin = kafkaJs(brokers).admin();
    await admin.connect();
    const { groups } = await admin.describeGroups([GROUP]);
    await admin.disconnect();
    expect(groups[0]).toMatchObject({ state: 'Stable', protocolType: 'millrace' });
    expect(groups[0].members.length).toBe(3);
  });

  test('answer who owns a task, and nobody else says so', async () => {
    for (const { task } of TASKS) {
      const answers = await Promise.all(members.map(({ membership }) => membership.owns(task)));
      expect(answers).toEqual(members.map(({ running }) => running.has(task)));
    }
  });

  test('take over from one that leaves within two heartbeats and what they take to stop', async () => {
    const [p0, p1, p2] = members;
    const kept = new Set(p0.running);
    await p2.end();
    const tookMs = await settled(SLACK_MS);
    console.info(`a member left: taken over after ${tookMs} ms`);
    expect(tookMs).toBeLessThan(SESSION_MS);
    for (const task of kept) expect(p0.running).toContain(task);
    expect([p0.losses, p1.losses]).toEqual([0, 0]);
  });

  test('take over from one that is killed when its session is over, and at once when somebody says that it is dead', async () => {
    const victim = start('p3');
    await settled(SLACK_MS);
    await victim.kill();
    const sessionMs = await settled(SESSION_MS + SLACK_MS);
    const next = start('p4');
    await settled(SLACK_MS);
    const memberId = await next.kill();
    const from = performance.now();
    start('p4-again', [memberId]);
    await settled(SLACK_MS);
    const saidMs = Math.round(performance.now() - from);
    console.info(`a member was killed: taken over after ${sessionMs} ms, ${saidMs} ms when the next one said so`);
    expect(sessionMs).toBeGreaterThan(SESSION_MS - 1_500);
    expect(saidMs).toBeLessThan(SESSION_MS);
  });

  test('take over from one that is stopped; when it goes on it loses all, and gets a share again', async () => {
    const [p0, p1] = members;
    const before = new Set(p0.running);
    expect(before.size).toBeGreaterThan(0);
    p1.session.stop();
    p1.dead = true;
    const tookMs = await settled(SESSION_MS + SLACK_MS);
    console.info(`a member was stopped: taken over after ${tookMs} ms`);
    // Both have it now, and the one that was stopped does not know.
    const [task] = [...p1.running].filter((one) => one !== CONTROL_TASK);
    const asked = p1.membership.owns(task);
    p1.session.goOn();
    expect(await asked).toBe(false);
    p1.dead = false;
    await settled(SLACK_MS);
    expect(p1.losses).toBe(1);
    expect(p0.losses).toBe(0);
    expect(p1.running.size).toBeGreaterThan(0);
  });
});
