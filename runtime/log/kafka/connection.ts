// Owns one socket to one broker: requests out, answers in the order asked, a deadline for each. The kernel reads straight
// into frame buffers. Whatever goes wrong ends the connection: answers mean nothing once their order is lost.

import { connect, type Socket } from 'node:net';
import { errorName } from '#runtime/log/kafka/broker-error.ts';
import { Frame, type FramePool } from '#runtime/log/kafka/frame-pool.ts';
import { type ApiVersionsAnswer, apiVersionsRequest } from '#runtime/log/kafka/wire/api-versions.ts';
import { WireReader, type WireRequest, WireWriter } from '#runtime/log/kafka/wire/codec.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface ConnectionOptions {
  readonly host: string;
  readonly port: number;
  readonly clientId: string;
  readonly clock: Clock;
  readonly pool: FramePool;
  /** Deadline of a request that names no other. */
  readonly requestTimeoutMs: number;
  readonly connectTimeoutMs: number;
  /** Larger answers end the connection. */
  readonly frameBytesMax: number;
}

interface Pending {
  readonly request: WireRequest<unknown>;
  readonly correlation: number;
  readonly deadlineMs: number;
  readonly answered: (value: never) => void;
  readonly failed: (error: unknown) => void;
}

const READ_AHEAD_BYTES = 64 * 1024;
const REMEDY = 'check that the brokers run and can be reached from here; Millrace goes on trying';

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #pending: Pending[] = [];
  readonly #socket: Socket;
  #buffer: Buffer;
  /** Unread bytes are #buffer[#from, #filled). */
  #from = 0;
  #filled = 0;
  #correlation = 0;
  /** Sleeps until #wakeAtMs, or until the nap is ended. */
  #watching = false;
  #wakeAtMs = 0;
  #nap: AbortController | null = null;
  #error: StreamError | null = null;
  #versions: ApiVersionsAnswer | null = null;

  readonly #connected = Promise.withResolvers<void>();

  private constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#buffer = options.pool.take(READ_AHEAD_BYTES);
    // Closing an open connection rejects it too, when nobody waits any more.
    this.#connected.promise.catch(() => {});
    const onread = {
      buffer: () => this.#room(),
      callback: (size: number) => {
        this.#filled += size;
        this.#frames();
        return true;
      },
    };
    const { host, port } = options;
    this.#socket = connect({ host, port, noDelay: true, onread });
    this.#socket.once('connect', () => this.#connected.resolve());
    this.#socket.on('error', (error) => this.#fail('log-unavailable', error.message, error));
    for (const event of ['end', 'close']) {
      this.#socket.once(event, () => this.#fail('log-unavailable', 'the broker closed the connection'));
    }
  }

  /** Connects and asks what the broker can do. Errors: log-unavailable, log-timeout, log-unsupported. */
  static async open(options: ConnectionOptions, signal?: AbortSignal): Promise<Connection> {
    const opened = new Connection(options);
    const abort = () => opened.close();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      if (signal?.aborted) opened.close();
      await opened.#untilConnected();
      const versions = await opened.#send(apiVersionsRequest(), options.connectTimeoutMs);
      if (versions.error !== 0) {
        opened.#fail('log-unsupported', `it answers ApiVersions with ${errorName(versions.error)}`);
        throw opened.#error;
      }
      opened.#versions = versions;
      return opened;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  async #untilConnected(): Promise<void> {
    const { clock, connectTimeoutMs } = this.#options;
    const settled = new AbortController();
    void clock.sleep(connectTimeoutMs, settled.signal).then(() => {
      if (!settled.signal.aborted) this.#fail('log-timeout', `no connection after ${connectTimeoutMs} ms`);
    });
    try {
      await this.#connected.promise;
    } finally {
      settled.abort();
    }
  }

  get address(): string {
    return `${this.#options.host}:${this.#options.port}`;
  }

  get open(): boolean {
    return this.#error === null;
  }

  /** Finalized level of `transaction.version`, 0 when the cluster has none. */
  get transactionVersion(): number {
    return this.#versions?.features.get('transaction.version') ?? 0;
  }

  supports(apiKey: number, version: number): boolean {
    const range = this.#versions?.versions.get(apiKey);
    return range !== undefined && range.min <= version && version <= range.max;
  }

  /** Sends at once; several may be on their way. A missed deadline ends the connection. */
  request<T>(request: WireRequest<T>, timeoutMs = this.#options.requestTimeoutMs): Promise<T> {
    if (this.#error === null && !this.supports(request.apiKey, request.version)) {
      const message = `broker ${this.address} does not take ${request.name} version ${request.version}`;
      return Promise.reject(new StreamError('log-unsupported', message, 'use Apache Kafka 3.6 or newer'));
    }
    return this.#send(request, timeoutMs);
  }

  #send<T>(request: WireRequest<T>, timeoutMs: number): Promise<T> {
    if (this.#error !== null) return Promise.reject(this.#error);
    const correlation = this.#correlation;
    this.#correlation = (correlation + 1) & 0x7fffffff;
    const out = new WireWriter();
    out.i32(0);
    out.i16(request.apiKey);
    out.i16(request.version);
    out.i32(correlation);
    out.text(this.#options.clientId);
    if (request.flexible) out.tags();
    request.encode(out);
    const deadlineMs = this.#options.clock.monotonicMs() + timeoutMs;
    const answer = new Promise<T>((answered, failed) => {
      this.#pending.push({ request, correlation, deadlineMs, answered: answered as (value: never) => void, failed });
    });
    const chunks = out.finish();
    if (chunks.length === 1) this.#socket.write(chunks[0]);
    else {
      this.#socket.cork();
      for (const chunk of chunks) this.#socket.write(chunk);
      this.#socket.uncork();
    }
    if (!this.#watching) void this.#watch();
    else if (deadlineMs < this.#wakeAtMs) this.#nap?.abort();
    return answer;
  }

  /** Ends the connection when a request misses its deadline. */
  async #watch(): Promise<void> {
    const { clock } = this.#options;
    this.#watching = true;
    while (this.#pending.length > 0 && this.#error === null) {
      let next = this.#pending[0];
      for (const one of this.#pending) if (one.deadlineMs < next.deadlineMs) next = one;
      const leftMs = next.deadlineMs - clock.monotonicMs();
      if (leftMs <= 0) {
        this.#fail('log-timeout', `no answer to ${next.request.name} in time`);
        break;
      }
      this.#wakeAtMs = next.deadlineMs;
      this.#nap = new AbortController();
      await clock.sleep(leftMs, this.#nap.signal);
    }
    this.#nap = null;
    this.#watching = false;
  }

  #room(): Buffer {
    return this.#from === 0 && this.#filled === 0 ? this.#buffer : this.#buffer.subarray(this.#filled);
  }

  #frames(): void {
    while (this.#error === null && this.#filled - this.#from >= 4) {
      const size = this.#buffer.readInt32BE(this.#from);
      const { frameBytesMax } = this.#options;
      if (size < 4 || size > frameBytesMax) {
        this.#fail('log-protocol', `an answer of ${size} bytes cannot be read (frameBytesMax is ${frameBytesMax})`);
        return;
      }
      const end = this.#from + 4 + size;
      if (this.#filled < end) {
        this.#grow(4 + size);
        return;
      }
      this.#deliver(this.#from + 4, end);
    }
    if (this.#from === this.#filled) this.#from = this.#filled = 0;
    else if (this.#filled === this.#buffer.length) this.#grow(READ_AHEAD_BYTES);
  }

  /** Makes room for `size` bytes from #from on. */
  #grow(size: number): void {
    if (this.#buffer.length - this.#from >= size && this.#filled < this.#buffer.length) return;
    const old = this.#buffer;
    const { pool } = this.#options;
    const held = this.#filled - this.#from;
    this.#buffer = pool.take(Math.max(size, held + 1));
    old.copy(this.#buffer, 0, this.#from, this.#filled);
    this.#from = 0;
    this.#filled = held;
    pool.give(old);
  }

  #deliver(start: number, end: number): void {
    const pending = this.#pending.shift();
    if (pending === undefined || this.#buffer.readInt32BE(start) !== pending.correlation) {
      if (pending !== undefined) this.#pending.unshift(pending);
      this.#fail('log-protocol', 'the broker answered something that was not asked');
      return;
    }
    const frame = new Frame(this.#options.pool, this.#buffer, start + 4, end);
    this.#from = end;
    try {
      const input = new WireReader(frame);
      // The answer to ApiVersions never has tags in its header: its reader may not know the version yet.
      if (pending.request.flexible && pending.request.name !== 'ApiVersions') input.tags();
      pending.answered(pending.request.decode(input) as never);
    } catch (cause) {
      this.#pending.unshift(pending);
      this.#fail('log-protocol', `the answer to ${pending.request.name} cannot be read: ${cause}`, cause);
    }
    if (frame.retained) this.#replaceBuffer();
  }

  /** The frame keeps the buffer; what followed it moves to another. */
  #replaceBuffer(): void {
    const old = this.#buffer;
    const held = this.#filled - this.#from;
    this.#buffer = this.#options.pool.take(Math.max(READ_AHEAD_BYTES, held + 1));
    if (held > 0) old.copy(this.#buffer, 0, this.#from, this.#filled);
    this.#from = 0;
    this.#filled = held;
  }

  #fail(code: 'log-unavailable' | 'log-timeout' | 'log-protocol' | 'log-unsupported', why: string, cause?: unknown) {
    if (this.#error !== null) return;
    this.#error = new StreamError(code, `broker ${this.address}: ${why}`, REMEDY, { cause });
    this.#connected.reject(this.#error);
    this.#nap?.abort();
    this.#socket.destroy();
    const pending = this.#pending.splice(0);
    for (const one of pending) one.failed(this.#error);
  }

  /** Ends the connection; requests on their way fail. */
  close(): void {
    this.#fail('log-unavailable', 'the connection was closed here');
  }
}
