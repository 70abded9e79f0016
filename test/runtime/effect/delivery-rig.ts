// Owns a delivery of numbers to a real HTTP server that a script answers for, with sleeps that take no time.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import type { EffectContext, Outbox, OutsideOutput, Refusal } from '#runtime/effect/contract.ts';
import { Delivery } from '#runtime/effect/delivery.ts';
import { HttpReceiver, type HttpReceiverOptions } from '#runtime/effect/http-receiver.ts';
import { type Clock, systemClock } from '#runtime/std/clock.ts';
import type { Logger } from '#runtime/std/logger.ts';

const ITEMS_MAX = 8;

/** Items are numbers; a request is their text. */
export class NumberOutbox implements Outbox {
  items: number[] = [];
  readonly refused: (readonly [number, Refusal])[] = [];
  readonly full = false;

  get count(): number {
    return this.items.length;
  }

  requestEnd(start: number): number {
    return Math.min(this.count, start + ITEMS_MAX);
  }

  encode(start: number, end: number): Uint8Array {
    return Buffer.from(JSON.stringify(this.items.slice(start, end)));
  }

  refuse(index: number, reason: Refusal): void {
    this.refused.push([this.items[index], reason]);
  }

  settle(_output: OutsideOutput): void {
    this.items = [];
  }

  discard(): void {
    this.items = [];
  }
}

/** Remembers what it was told from `info` on. */
class KeptLog implements Logger {
  readonly lines: { readonly message: string; readonly fields: object }[] = [];

  debug(): void {}

  info(fields: object, message: string): void {
    this.lines.push({ fields, message });
  }

  warn(fields: object, message: string): void {
    this.lines.push({ fields, message });
  }

  error(fields: object, message: string): void {
    this.lines.push({ fields, message });
  }

  child(): Logger {
    return this;
  }
}

export interface Reply {
  readonly status: number;
  readonly body?: string;
  readonly retryAfter?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What becomes of a request: an answer, a connection that is cut before or after it was taken, or nothing ever. */
type Script = (items: readonly number[], request: number) => Reply | 'cut' | 'take-and-cut' | 'hang';

const closing: (() => void)[] = [];

/** Ends what was begun since the last call. */
export function closeAll(): void {
  for (const close of closing.splice(0)) close();
}

export async function serve(script: Script) {
  const taken: number[] = [];
  const requests: number[][] = [];
  const sockets = new Set<unknown>();
  const server: Server = createServer(async (request: IncomingMessage, response: ServerResponse) => {
    sockets.add(request.socket);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const items: number[] = JSON.parse(Buffer.concat(chunks).toString());
    requests.push(items);
    const reply = script(items, requests.length);
    if (reply === 'hang') return;
    if (reply === 'cut' || reply === 'take-and-cut') {
      if (reply === 'take-and-cut') taken.push(...items);
      request.socket.destroy();
      return;
    }
    if (reply.status < 300) taken.push(...items);
    const headers = reply.retryAfter === undefined ? {} : { 'retry-after': reply.retryAfter };
    response.writeHead(reply.status, { ...headers, ...reply.headers }).end(reply.body ?? '');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1/write`;
  return { url, taken, requests, sockets };
}

/** A server that answers with bytes: `answer` gets the socket when a request is there, whole unless `early`. */
export async function serveBytes(answer: (socket: Socket, items: string, request: number) => void, early = false) {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    let seen = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      seen = Buffer.concat([seen, chunk]);
      const headEnd = seen.indexOf('\r\n\r\n');
      if (headEnd < 0) return;
      const size = Number(/content-length: (\d+)/i.exec(seen.toString('latin1', 0, headEnd))?.[1]);
      if (!early && seen.length < headEnd + 4 + size) return;
      const items = seen.toString('latin1', headEnd + 4);
      seen = Buffer.alloc(0);
      requests.push(items);
      answer(socket, items, requests.length);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1/write`, requests, sockets };
}

/** Sleeps take no time and are written down. */
export function hurriedClock(nowMs = 1_700_000_000_000): { clock: Clock; slept: number[] } {
  const slept: number[] = [];
  const clock: Clock = {
    nowMs: () => nowMs,
    monotonicMs: () => 0,
    sleep: async (ms) => {
      slept.push(ms);
    },
  };
  return { clock, slept };
}

export function deliveryTo(url: string, options: Partial<HttpReceiverOptions> = {}) {
  const outbox = new NumberOutbox();
  const receiver = new HttpReceiver({ url, headers: {}, clock: systemClock, ...options });
  const delivery = new Delivery({ target: 'test', outbox, receiver });
  closing.push(() => delivery.close());
  const { clock, slept } = hurriedClock();
  const abort = new AbortController();
  const logger = new KeptLog();
  const output: OutsideOutput = { append() {} };
  const context: EffectContext = {
    output,
    clock,
    logger,
    signal: abort.signal,
    task: 'job/stage/0',
    seed: 'attempt',
  };
  return { outbox, delivery, slept, abort, context, logger, receiver, flush: () => delivery.flush(context) };
}

export const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);
export const OK: Reply = { status: 204 };
