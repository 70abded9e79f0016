// Owns the simulated log as a subject of the log port's contract suite: the world steps on while the suite waits.

import { stampBatch } from '#runtime/log/record-batch.ts';
import type { Faults } from '#test/simulation/world/log-faults.ts';
import { KAFKA } from '#test/simulation/world/log-partition.ts';
import { World } from '#test/simulation/world/world.ts';
import {
  CODECS,
  FAULT_KINDS,
  FAULT_PLACES,
  type LogFault,
  type LogSuiteSubject,
  type OpenLog,
  type RawTransaction,
} from '#test/suites/log/subject.ts';

const FAULTS: readonly LogFault[] = FAULT_PLACES.flatMap((on) => FAULT_KINDS.map((how) => ({ on, how })));
/** The largest that one batch can say. */
const GAP = 2 ** 31 - 1;

export function simulatedSubject(name: string, seed: number, faults: Faults): LogSuiteSubject {
  return {
    name,
    capabilities: {
      codecs: CODECS,
      faults: FAULTS,
      transactionTimeoutMs: 25_000,
      outage: true,
      gaps: true,
      reconnects: true,
      severalMembers: true,
    },
    omitted: [],
    open: async () => openWorld(new World({ seed, faults })),
  };
}

function openWorld(world: World): OpenLog {
  let closed = false;
  const suite = world.start('suite');
  const pump = async () => {
    while (!closed) {
      await world.scheduler.run(() => closed);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const running = pump();
  let clients = 0;
  return {
    client: () => world.start(`client ${++clients}`).log,
    async dump(at) {
      return Buffer.concat(world.cluster.partition(at)?.batches.map((batch) => batch.bytes) ?? []);
    },
    async appendRaw(batch) {
      world.cluster.append(batch, Buffer.from(batch.bytes));
    },
    async appendBeforeGap(batch) {
      world.cluster.append(batch, Buffer.from(batch.bytes));
      world.cluster.leaveGap(batch, GAP);
    },
    async beginRaw(transactionalId, timeoutMs) {
      return beginRaw(world, suite.clock.sleep, transactionalId, timeoutMs);
    },
    inject({ on, how }) {
      const { promise, resolve } = Promise.withResolvers<void>();
      world.channel.arm(on, how, resolve);
      return { done: promise };
    },
    outage: {
      async begin() {
        world.channel.away = true;
      },
      async end() {
        world.channel.away = false;
      },
    },
    sleep: (ms) => suite.clock.sleep(ms),
    async close() {
      closed = true;
      await running;
    },
  };
}

async function beginRaw(
  world: World,
  sleep: (ms: number) => Promise<void>,
  id: string,
  timeoutMs: number,
): Promise<RawTransaction> {
  const { cluster } = world;
  const { coordinator } = cluster;
  let owner = coordinator.initProducerId(id, timeoutMs, -1, -1);
  while (owner.error === KAFKA.concurrentTransactions) {
    await sleep(1);
    owner = coordinator.initProducerId(id, timeoutMs, -1, -1);
  }
  const sequences = new Map<string, number>();
  const end = async (commit: boolean) => {
    const { error } = coordinator.endTransaction(id, owner.producerId, owner.epoch, commit);
    if (error !== KAFKA.none) throw new Error(`EndTxn answered ${error}`);
  };
  return {
    async append(batch) {
      const place = `${batch.topic}/${batch.partition}`;
      const sequence = sequences.get(place) ?? 0;
      sequences.set(place, sequence + batch.recordCount);
      const bytes = Buffer.from(batch.bytes);
      stampBatch(bytes, BigInt(owner.producerId), owner.epoch, sequence);
      for (;;) {
        const leaderEpoch = cluster.partition(batch)?.leaderEpoch ?? 0;
        const { error } = cluster.produce(id, batch, leaderEpoch, bytes);
        if (error === KAFKA.none) return;
        if (error !== KAFKA.concurrentTransactions) throw new Error(`Produce answered ${error}`);
        await sleep(1);
      }
    },
    commit: () => end(true),
    abort: () => end(false),
  };
}
