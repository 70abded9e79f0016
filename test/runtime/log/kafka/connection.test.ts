// One socket to a broker, against a scripted broker: answers cut anywhere, several at once, too large, out of order, late
// or never.

import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Connection } from '#runtime/log/kafka/connection.ts';
import { type Frame, FramePool } from '#runtime/log/kafka/frame-pool.ts';
import type { WireReader, WireRequest, WireWriter } from '#runtime/log/kafka/wire/codec.ts';
import { type Clock, systemClock } from '#runtime/std/clock.ts';

const ECHO = 99;

interface Asked {
  readonly apiKey: number;
  readonly correlation: number;
  readonly payload: Buffer;
}

/** A broker that knows ApiVersions and hands everything else to `answer`. */
class ScriptedBroker {
  readonly #server: Server;
  readonly sockets: Socket[] = [];
  answer: (asked: Asked, socket: Socket) => void = () => {};

  constructor() {
    this.#server = createServer((socket) => {
      this.sockets.push(socket);
      let held = Buffer.alloc(0);
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        held = Buffer.concat([held, chunk]);
        while (held.length >= 4 && held.length >= 4 + held.readInt32BE(0)) {
          const end = 4 + held.readInt32BE(0);
          const clientEnd = 14 + held.readInt16BE(12);
          const payload = Buffer.from(held.subarray(clientEnd, end));
          const asked = { apiKey: held.readInt16BE(4), correlation: held.readInt32BE(8), payload };
          held = held.subarray(end);
          if (asked.apiKey === 18) socket.write(apiVersions(asked.correlation));
          else this.answer(asked, socket);
        }
      });
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return address.port;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function frame(correlation: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeInt32BE(4 + payload.length, 0);
  head.writeInt32BE(correlation, 4);
  return Buffer.concat([head, payload]);
}

function apiVersions(correlation: number): Buffer {
  const range = Buffer.from([0, ECHO, 0, 0, 0, 1, 0]);
  return frame(correlation, Buffer.concat([Buffer.from([0, 0, 2]), range, Buffer.alloc(4), Buffer.from([0])]));
}

function echo(payload: Buffer, keep = false): WireRequest<{ text: string; frame: Frame }> {
  return {
    name: 'Echo',
    apiKey: ECHO,
    version: 1,
    flexible: false,
    encode: (out: WireWriter) => out.reference(payload),
    decode(input: WireReader) {
      if (keep) input.frame.retain();
      return { text: input.bytes.toString('latin1', input.at, input.end), frame: input.frame };
    },
  };
}

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function connected(
  options: { clock?: Clock; frameBytesMax?: number; requestTimeoutMs?: number; pool?: FramePool } = {},
) {
  const broker = new ScriptedBroker();
  const port = await broker.listen();
  const connection = await Connection.open({
    host: '127.0.0.1',
    port,
    clientId: 'test',
    clock: options.clock ?? systemClock,
    pool: options.pool ?? new FramePool(),
    requestTimeoutMs: options.requestTimeoutMs ?? 10_000,
    connectTimeoutMs: 10_000,
    frameBytesMax: options.frameBytesMax ?? 1 << 24,
  });
  closing.push(
    () => connection.close(),
    () => broker.close(),
  );
  return { broker, connection };
}

function payload(size: number, seed: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: size }, (_, i) => (i * 31 + seed * 7) & 255));
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

describe('connection', () => {
  it('gives each answer to its request, wherever the stream is cut', async () => {
    const { broker, connection } = await connected();
    const answers: Buffer[] = [];
    broker.answer = ({ correlation, payload }) => answers.push(frame(correlation, payload));
    const sizes = [1, 5, 0, 300, 70_000, 2, 200_000, 64 * 1024 - 8, 64 * 1024, 3];
    for (const cut of [1, 3, 7, 4096, 65_536, 100_000, 1 << 20]) {
      const sent = sizes.map((size, i) => payload(size, i + cut));
      const replies = sent.map((bytes) => connection.request(echo(bytes)));
      while (answers.length < sizes.length) await turns(1);
      const stream = Buffer.concat(answers.splice(0));
      // Small cuts only where it matters: around the heads of the answers.
      for (let at = 0; at < stream.length; ) {
        const size = cut < 16 && at > 600 ? 50_000 : cut;
        broker.sockets[0].write(stream.subarray(at, at + size));
        at += size;
        await turns(1);
      }
      const texts = (await Promise.all(replies)).map(({ text }) => text);
      expect(texts).toEqual(sent.map((bytes) => bytes.toString('latin1')));
    }
  });

  it('leaves retained answers untouched by what is read after them', async () => {
    const pool = new FramePool();
    const { broker, connection } = await connected({ pool });
    broker.answer = ({ correlation, payload }, socket) => socket.write(frame(correlation, payload));
    const kept: { text: string; frame: Frame }[] = [];
    for (let round = 0; round < 30; round++) {
      const sent = [0, 1, 2].map((i) => payload(1 + ((round * 37 + i) % 90_000), round + i));
      kept.push(...(await Promise.all(sent.map((bytes) => connection.request(echo(bytes, true))))));
      for (const { text, frame } of kept) {
        expect(frame.bytes.toString('latin1', frame.start, frame.end) === text).toBe(true);
      }
      while (kept.length > 5) kept.shift()?.frame.release();
    }
    for (const { frame } of kept) frame.release();
    expect(pool.lentBytes).toBe(0);
    expect(() => kept[0].frame.release()).toThrow();
  });

  it('ends with all its requests when an answer is too large, not asked for or not readable', async () => {
    const spoiled: ((asked: Asked, socket: Socket) => void)[] = [
      ({ correlation }, socket) => socket.write(frame(correlation + 1, Buffer.alloc(3))),
      (_, socket) => socket.write(Buffer.from([0x7f, 0, 0, 0, 0, 0, 0, 0])),
      (_, socket) => socket.write(Buffer.from([0xff, 0xff, 0xff, 0xff])),
    ];
    for (const answer of spoiled) {
      const { broker, connection } = await connected({ frameBytesMax: 1000 });
      broker.answer = answer;
      const both = await Promise.allSettled([
        connection.request(echo(payload(1, 1))),
        connection.request(echo(payload(2, 2))),
      ]);
      for (const one of both) expect(one).toMatchObject({ status: 'rejected', reason: { code: 'log-protocol' } });
      expect(connection.open).toBe(false);
      await expect(connection.request(echo(payload(3, 3)))).rejects.toMatchObject({ code: 'log-protocol' });
    }
    const { broker, connection } = await connected();
    broker.answer = ({ correlation, payload }, socket) => socket.write(frame(correlation, payload));
    const short: WireRequest<bigint> = { ...echo(payload(3, 3)), decode: (input) => input.i64() };
    await expect(connection.request(short)).rejects.toMatchObject({ code: 'log-protocol' });
    expect(connection.open).toBe(false);
  });

  it('ends when any request misses its deadline, by the clock it was given', async () => {
    let nowMs = 0;
    const sleepers: { atMs: number; wake: () => void }[] = [];
    const clock: Clock = {
      nowMs: () => nowMs,
      monotonicMs: () => nowMs,
      sleep: (ms, signal) =>
        new Promise((resolve) => {
          sleepers.push({ atMs: nowMs + ms, wake: resolve });
          signal?.addEventListener('abort', () => resolve(), { once: true });
        }),
    };
    const advance = async (ms: number) => {
      nowMs += ms;
      for (const one of sleepers.filter(({ atMs }) => atMs <= nowMs)) one.wake();
      await turns(5);
    };
    const { broker, connection } = await connected({ clock, requestTimeoutMs: 1000 });
    const first = connection.request(echo(payload(4, 1)), 5000);
    const second = connection.request(echo(payload(4, 2)));
    const outcomes = Promise.allSettled([first, second]);
    await advance(999);
    expect(connection.open).toBe(true);
    await advance(1);
    expect(connection.open).toBe(false);
    for (const one of await outcomes)
      expect(one).toMatchObject({ status: 'rejected', reason: { code: 'log-timeout' } });
    expect(broker.sockets.length).toBe(1);
  });

  it('fails its requests when the broker goes away, and says when it does not take a version', async () => {
    const { broker, connection } = await connected();
    await expect(connection.request({ ...echo(payload(1, 1)), version: 2 })).rejects.toMatchObject({
      code: 'log-unsupported',
    });
    await expect(connection.request({ ...echo(payload(1, 1)), apiKey: 7 })).rejects.toMatchObject({
      code: 'log-unsupported',
    });
    broker.answer = (_, socket) => socket.destroy();
    await expect(connection.request(echo(payload(1, 1)))).rejects.toMatchObject({ code: 'log-unavailable' });
    const port = await (async () => {
      const other = new ScriptedBroker();
      const free = await other.listen();
      await other.close();
      return free;
    })();
    const limits = { requestTimeoutMs: 1000, connectTimeoutMs: 1000 };
    const options = { host: '127.0.0.1', port, clientId: 'x', clock: systemClock, pool: new FramePool() };
    await expect(Connection.open({ ...options, ...limits, frameBytesMax: 1000 })).rejects.toMatchObject({
      code: 'log-unavailable',
    });
  });
});
