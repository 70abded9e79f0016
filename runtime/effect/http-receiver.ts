// Owns one HTTP connection to a receiver: POST of a body, and what was answered. Decides nothing about the answer.
// Invariant: one request at a time; what it tells of itself holds no secrets.

import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Answer, Receiver } from '#runtime/effect/contract.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface HttpReceiverOptions {
  /** `http:` or `https:`, without user and password. */
  readonly url: string;
  /** Sent with every request; may hold secrets. */
  readonly headers: Readonly<Record<string, string>>;
  /** Certificates to trust instead of the system's, PEM. */
  readonly ca?: string | undefined;
  /** Own certificate and key for receivers that ask for one, PEM. */
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
  /** For the whole of a request. @default 30,000 */
  readonly timeoutMs?: number | undefined;
  readonly clock: Clock;
}

/** Of an answer that is no success, this much is kept to tell people. */
const MESSAGE_BYTES_MAX = 2_048;
/** A larger answer, or one that takes longer behind its head, is not read to its end: the connection is given up. */
const ANSWER_BYTES_MAX = 64 * 1024;
const ANSWER_BODY_MS = 2_000;
/** Cookies of what stands before a receiver are no reason to try without end. */
const HEADER_BYTES_MAX = 128 * 1024;
const TIMEOUT_MS = 30_000;

export class HttpReceiver implements Receiver {
  readonly address: string;
  readonly #url: URL;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #timeoutMs: number;
  readonly #clock: Clock;

  constructor({ ca, certificate, clock, headers, key, timeoutMs, url }: HttpReceiverOptions) {
    this.#url = new URL(url);
    this.address = `${this.#url.origin}${this.#url.pathname}`;
    this.#headers = headers;
    this.#timeoutMs = timeoutMs ?? TIMEOUT_MS;
    this.#clock = clock;
    // One socket, kept: batches follow each other, and a handshake costs more than a batch.
    const keep = { keepAlive: true, maxSockets: 1 };
    this.#agent =
      this.#url.protocol === 'https:' ? new HttpsAgent({ ...keep, ca, cert: certificate, key }) : new HttpAgent(keep);
  }

  async send(body: Uint8Array, signal: AbortSignal): Promise<Answer> {
    try {
      return await this.#exchange(body, signal);
    } catch (error) {
      // The peer had closed the connection that was kept, and only the request found out: that is no outage.
      if (!(error instanceof StreamError) || !isStale(error.cause) || signal.aborted) throw error;
      return await this.#exchange(body, signal);
    }
  }

  async #exchange(body: Uint8Array, signal: AbortSignal): Promise<Answer> {
    const done = new AbortController();
    let timedOut = false;
    try {
      return await new Promise<Answer>((resolve, reject) => {
        let finish: (() => void) | null = null;
        const request = this.#request(body, (response) => {
          finish = readAnswer(request, response, resolve);
          void this.#clock.sleep(ANSWER_BODY_MS, done.signal).then(finish);
        });
        request.on('upgrade', (_, socket) => {
          socket.destroy();
          reject(new Error('switches to another protocol'));
        });
        const giveUp = () => {
          request.destroy();
          // Not every end of a connection is told.
          if (finish === null) reject(new Error('given up'));
          else finish();
        };
        request.on('error', (cause) => {
          // Who answers before the request is read may close under what is still being sent.
          if (finish === null) reject(request.reusedSocket ? new StaleConnection(cause) : cause);
        });
        signal.addEventListener('abort', giveUp, { once: true, signal: done.signal });
        void this.#clock.sleep(this.#timeoutMs, done.signal).then(() => {
          if (done.signal.aborted) return;
          timedOut = true;
          giveUp();
        });
        if (signal.aborted) giveUp();
        request.end(body);
      });
    } catch (cause) {
      const what = timedOut ? `does not answer within ${this.#timeoutMs / 1_000} s` : reason(cause);
      throw new StreamError('receiver-unavailable', what, 'see that the receiver runs and can be reached', { cause });
    } finally {
      done.abort();
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #request(body: Uint8Array, answered: (response: IncomingMessage) => void): ClientRequest {
    const headers = { ...this.#headers, 'content-length': String(body.length) };
    const options = { method: 'POST', agent: this.#agent, headers, maxHeaderSize: HEADER_BYTES_MAX };
    const open = this.#url.protocol === 'https:' ? httpsRequest : httpRequest;
    return open(this.#url, options, answered);
  }
}

// An answer counts when its head is there; a body that is cut off takes nothing back. What it returns ends the reading.
function readAnswer(request: ClientRequest, response: IncomingMessage, resolve: (answer: Answer) => void): () => void {
  const { statusCode: status = 0, statusMessage = '' } = response;
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  const finish = () => {
    // Bytes of any kind stay out of logs and headers.
    const text = Buffer.concat(chunks)
      .toString('utf8')
      .replace(/[\s\p{C}]+/gu, ' ')
      .trim();
    const { 'content-type': type = '', 'retry-after': retryAfter = null } = response.headers;
    const contentType = sizeBytes === 0 ? null : type;
    resolve({ status, message: text === '' ? statusMessage : text, retryAfter, contentType });
    // What is left to read or to send would stand in the way of the next request.
    if (!response.complete || !request.writableFinished) request.destroy();
  };
  response.on('data', (chunk: Buffer) => {
    if (sizeBytes < MESSAGE_BYTES_MAX) chunks.push(chunk.subarray(0, MESSAGE_BYTES_MAX - sizeBytes));
    sizeBytes += chunk.length;
    if (sizeBytes > ANSWER_BYTES_MAX) finish();
  });
  response.on('error', () => {});
  response.on('end', finish);
  response.on('close', finish);
  return finish;
}

/** A kept connection that broke before anything came back over it. */
class StaleConnection extends Error {
  readonly code: string;

  constructor(cause: Error) {
    super(cause.message, { cause });
    this.code = (cause as { readonly code?: string }).code ?? '';
  }
}

function isStale(cause: unknown): boolean {
  return cause instanceof StaleConnection && (cause.code === 'ECONNRESET' || cause.code === 'EPIPE');
}

function reason(cause: unknown): string {
  if (cause instanceof StreamError) return cause.message;
  const { code, message } = cause as { readonly code?: string; readonly message?: string };
  // A failed attempt at several addresses of a name has a code but no message.
  return `cannot be reached: ${message || code || 'connection failed'}`;
}
