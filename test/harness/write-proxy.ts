// Owns a small HTTP server in front of a receiver of remote write that misbehaves when told to, and remembers what passed.
// Reads requests with the slow reference reader, nothing of the product.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { uncompressSync } from 'snappy';
import { seriesText } from '#test/harness/tsdb.ts';
import { type Field, fieldsOf } from '#test/operators/formats/protobuf-bytes.ts';

export interface WrittenSample {
  readonly series: string;
  readonly timestampMs: number;
  readonly value: number;
}

export interface SeenRequest {
  readonly index: number;
  readonly samples: readonly WrittenSample[];
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly sizeBytes: number;
}

/** What becomes of a request: passed on, answered here, taken without an answer, or never answered. */
export type Verdict =
  | 'pass'
  | 'lose-answer'
  | 'cut'
  | 'hang'
  | { readonly status: number; readonly body?: string; readonly retryAfter?: string };

export interface WriteProxyOptions {
  /** Null: every request that passes is answered with 204. */
  readonly to: string | null;
  /** @default a free one */
  readonly port?: number;
  readonly tls?: { readonly key: string; readonly cert: string; readonly ca?: string; readonly requestCert?: boolean };
}

export class WriteProxy {
  judge: (request: SeenRequest) => Verdict = () => 'pass';
  /** Samples in the order in which the receiver took them, repetitions included. */
  readonly taken: WrittenSample[] = [];
  /** Status by request; 0 where none was given. */
  readonly answers: number[] = [];
  lastRequest: SeenRequest | null = null;
  port = 0;
  readonly #to: string | null;
  readonly #server: Server;
  #requests = 0;

  private constructor({ tls, to }: WriteProxyOptions) {
    this.#to = to;
    const handle = (request: IncomingMessage, response: ServerResponse) => {
      this.#handle(request, response).catch((error: Error) => response.destroy(error));
    };
    this.#server = tls === undefined ? createServer(handle) : createSecureServer(tls, handle);
  }

  static async start(options: WriteProxyOptions): Promise<WriteProxy> {
    const proxy = new WriteProxy(options);
    const { port = 0 } = options;
    await new Promise<void>((resolve) => proxy.#server.listen(port, '127.0.0.1', resolve));
    proxy.port = (proxy.#server.address() as AddressInfo).port;
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/api/v1/write`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const samples = readWriteRequest(body);
    const seen = { index: ++this.#requests, samples, headers: request.headers, sizeBytes: body.length };
    this.lastRequest = seen;
    const verdict = this.judge(seen);
    if (verdict === 'hang') return;
    if (verdict === 'cut') {
      request.socket.destroy();
      return;
    }
    if (typeof verdict === 'object') {
      this.#answer(response, verdict.status, verdict.body ?? '', verdict.retryAfter);
      return;
    }
    const { status, text } = await this.#pass(body);
    if (status >= 200 && status < 300) this.taken.push(...samples);
    if (verdict === 'lose-answer') {
      this.answers.push(0);
      request.socket.destroy();
    } else this.#answer(response, status, text);
  }

  #answer(response: ServerResponse, status: number, body: string, retryAfter?: string): void {
    this.answers.push(status);
    response.writeHead(status, retryAfter === undefined ? {} : { 'retry-after': retryAfter });
    response.end(body);
  }

  async #pass(body: Buffer): Promise<{ readonly status: number; readonly text: string }> {
    if (this.#to === null) return { status: 204, text: '' };
    const headers = {
      'content-type': 'application/x-protobuf',
      'content-encoding': 'snappy',
      'x-prometheus-remote-write-version': '0.1.0',
    };
    try {
      const answer = await fetch(this.#to, { method: 'POST', headers, body: new Uint8Array(body) });
      return { status: answer.status, text: await answer.text() };
    } catch {
      // The receiver is away: so are we, for the writer.
      return { status: 502, text: 'no receiver' };
    }
  }
}

function readWriteRequest(body: Buffer): WrittenSample[] {
  const message = uncompressSync(body, { asBuffer: true, copyOutputData: true }) as Buffer;
  const samples: WrittenSample[] = [];
  for (const of of fieldsOf(message)) {
    const fields = fieldsOf(of.bytes);
    const labels = fields.filter(({ number }) => number === 1).map((field) => pairOf(fieldsOf(field.bytes)));
    const names = labels.map(([name]) => name);
    const sorted = [...names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    if (names.join('\n') !== sorted.join('\n') || new Set(names).size !== names.length) {
      throw new Error(`labels are not sorted or stand twice: ${names.join(', ')}`);
    }
    const series = seriesText(Object.fromEntries(labels));
    for (const field of fields.filter(({ number }) => number === 2)) {
      const sample = fieldsOf(field.bytes);
      const value = sample.find(({ number }) => number === 1)?.bytes.readDoubleLE() ?? 0;
      const timestampMs = Number(BigInt.asIntN(64, sample.find(({ number }) => number === 2)?.varint ?? 0n));
      samples.push({ series, timestampMs, value });
    }
  }
  return samples;
}

function pairOf(fields: Field[]): [string, string] {
  const text = (number: number) => fields.find((field) => field.number === number)?.bytes.toString() ?? '';
  return [text(1), text(2)];
}
