// Owns requests to an S3-compatible store: signed, with a time limit, tried again when that may help. The door of
// aws4fetch, which signs. It knows no checkpoint; what an answer means for one is decided in s3-store.ts.

import { createHash } from 'node:crypto';
import { AwsV4Signer } from 'aws4fetch';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of temporary credentials; they are not renewed. */
  readonly sessionToken?: string | undefined;
}

export interface S3Options {
  readonly bucket: string;
  /** `https://host:port` of a store other than Amazon's; buckets are named in the path then. */
  readonly endpoint?: string | undefined;
  readonly region: string;
  readonly credentials: S3Credentials;
}

export interface S3Request {
  readonly method: 'GET' | 'PUT' | 'DELETE';
  /** Empty for the bucket itself. */
  readonly key: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

export interface S3Answer {
  readonly status: number;
  readonly body: Buffer;
  /** `NoSuchKey`, `PreconditionFailed`, …; empty for a success or when the store does not say. */
  readonly errorCode: string;
  /** Requests it took: when more than one, an earlier one may have been done without an answer. */
  readonly tries: number;
}

const TRIES_MAX = 5;
const PAUSE_MS = 200;
const TIMEOUT_MS = 20_000;
/** Slower than this is as good as not at all. */
const BYTES_PER_MS_MIN = 200;
const RETRIED = new Set([408, 409, 425, 429, 500, 502, 503, 504]);

export class S3Client {
  /** For messages. */
  readonly name: string;
  readonly #base: string;
  readonly #options: S3Options;
  readonly #clock: Clock;

  constructor(options: S3Options, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    const { bucket, endpoint, region } = options;
    // A dot in the name of a bucket does not fit the certificate of its host.
    if (endpoint !== undefined) this.#base = `${endpoint.replace(/\/+$/, '')}/${bucket}`;
    else if (bucket.includes('.')) this.#base = `https://s3.${region}.amazonaws.com/${bucket}`;
    else this.#base = `https://${bucket}.s3.${region}.amazonaws.com`;
    this.name = `s3://${bucket}${endpoint === undefined ? '' : ` at ${endpoint}`}`;
  }

  /** How a key is named as the source of a copy. */
  sourceOf(key: string): string {
    return `/${this.#options.bucket}/${key.split('/').map(encoded).join('/')}`;
  }

  /** The store's answer, whatever it is, once it is none that passes by itself. Error: store-unavailable. */
  async send(request: S3Request): Promise<S3Answer> {
    for (let tries = 1; ; tries++) {
      const last = tries === TRIES_MAX;
      try {
        const answer = await this.#once(request, tries);
        if (!RETRIED.has(answer.status)) return answer;
        if (last) throw unavailable(this.name, request, `${answer.status} ${answer.errorCode}`);
      } catch (error) {
        if (error instanceof StreamError) throw error;
        if (last) throw unavailable(this.name, request, reasonOf(error), error);
      }
      await this.#clock.sleep(PAUSE_MS * 2 ** (tries - 1));
    }
  }

  async #once({ method, key, query = {}, headers = {}, body }: S3Request, tries: number): Promise<S3Answer> {
    const { credentials, region } = this.#options;
    const path = key === '' ? '' : `/${key.split('/').map(encoded).join('/')}`;
    const search = new URLSearchParams(query).toString();
    const signed = await new AwsV4Signer({
      method,
      url: `${this.#base}${path}${search === '' ? '' : `?${search}`}`,
      headers: { ...headers, 'x-amz-content-sha256': sha256(body ?? new Uint8Array(0)) },
      service: 's3',
      region,
      accessKeyId: credentials.accessKeyId,
      secretAccessKey: credentials.secretAccessKey,
      ...(credentials.sessionToken === undefined ? {} : { sessionToken: credentials.sessionToken }),
    }).sign();
    const answer = await fetch(signed.url, {
      method,
      headers: signed.headers,
      redirect: 'manual',
      signal: AbortSignal.timeout(TIMEOUT_MS + Math.ceil((body?.length ?? 0) / BYTES_PER_MS_MIN)),
      ...(body === undefined ? {} : { body: Buffer.from(body.buffer, body.byteOffset, body.length) }),
    });
    const bytes = Buffer.from(await answer.arrayBuffer());
    const errorCode = answer.ok ? '' : (/<Code>([^<]*)<\/Code>/.exec(bytes.toString())?.[1] ?? '');
    return { status: answer.status, body: bytes, errorCode, tries };
  }
}

/** As signatures want it: encodeURIComponent leaves some characters that RFC 3986 reserves. */
function encoded(part: string): string {
  return encodeURIComponent(part).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function reasonOf(error: unknown): string {
  const { cause, message } = error as Error;
  return cause instanceof Error && cause.message !== '' ? `${message}: ${cause.message}` : message;
}

function unavailable(name: string, { method, key }: S3Request, reason: string, cause?: unknown): StreamError {
  return new StreamError(
    'store-unavailable',
    `checkpoint store ${name}: ${method} '${key}' failed ${TRIES_MAX} times (${reason})`,
    'look whether the store can be reached from here; the task goes on from its last checkpoint when it answers',
    cause === undefined ? {} : { cause },
  );
}
