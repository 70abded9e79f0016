// Owns fetching schemas by id from a registry with Confluent's REST interface, and remembering them. The one part of the
// formats that waits: an outage is waited out, with backoff; only the registry's own word that there is no such schema
// counts as missing. Invariant: an answer other than 'pending' does not change until `refresh`.

import { samplePlan } from '#operators/formats/avro-sample-plan.ts';
import { parseAvroSchema, SCHEMA_BYTES_MAX } from '#operators/formats/avro-schema.ts';
import type { SchemaAnswer, SchemaLookup } from '#operators/formats/schema-lookup.ts';
import type { Clock } from '#runtime/std/clock.ts';

/** Confluent's error code for a schema id that does not exist. */
const SCHEMA_NOT_FOUND = 40403;
const REPLY_BYTES_MAX = 2 * SCHEMA_BYTES_MAX;
/** A schema that did not exist may be registered later: asked for again so often. */
const MISSES_LAST_MS = 60_000;

/** Who fetches schemas for one task. Between two calls of `refresh` an answer other than 'pending' does not change. */
export interface SchemaClient extends SchemaLookup {
  /** Between entries: what was missing may be asked for again. */
  refresh(): void;
  /** Resolves when the schema is no longer pending, or nobody waits any more. */
  settled(id: number): Promise<void>;
  /** Ends all waiting. */
  close(): void;
}

/** Why nobody answers, in words without secrets. */
export type SchemaTrouble = (message: string) => void;

export interface SchemaRegistryOptions {
  /** Such as `https://registry:8081`; a path in front of `/schemas` is kept. */
  readonly url: string;
  readonly clock: Clock;
  /** Value of the header `authorization`. */
  readonly authorization?: string | undefined;
  /** Of one request. @default 5000 */
  readonly timeoutMs?: number;
  /** Pause after a failure, doubled each time. @default 100 */
  readonly backoffMinMs?: number;
  /** @default 10000 */
  readonly backoffMaxMs?: number;
  /** Answers remembered at most; the oldest is forgotten. @default 10000 */
  readonly schemasMax?: number;
  /** Told of each failed request, in words without secrets. */
  readonly onTrouble?: SchemaTrouble;
}

export class SchemaRegistry implements SchemaClient {
  /** Requests sent so far. */
  requests = 0;
  readonly #options: SchemaRegistryOptions;
  readonly #known = new Map<number, SchemaAnswer>();
  readonly #fetching = new Map<number, Promise<void>>();
  readonly #closed = new AbortController();
  #refreshedMs: number;

  constructor(options: SchemaRegistryOptions) {
    this.#options = options;
    this.#refreshedMs = options.clock.monotonicMs();
  }

  get(id: number): SchemaAnswer {
    // No registry gives negative ids: this is something else than a schema id.
    const answer = id < 0 ? 'missing' : this.#known.get(id);
    if (answer !== undefined) return answer;
    if (!this.#fetching.has(id) && !this.#closed.signal.aborted) {
      this.#fetching.set(
        id,
        this.#fetchUntilAnswered(id).finally(() => this.#fetching.delete(id)),
      );
    }
    return 'pending';
  }

  async settled(id: number): Promise<void> {
    await this.#fetching.get(id);
  }

  refresh(): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#refreshedMs < MISSES_LAST_MS) return;
    this.#refreshedMs = nowMs;
    for (const [id, answer] of this.#known) if (answer === 'missing') this.#known.delete(id);
  }

  close(): void {
    this.#closed.abort();
  }

  async #fetchUntilAnswered(id: number): Promise<void> {
    const { backoffMaxMs = 10_000, backoffMinMs = 100, clock, onTrouble } = this.#options;
    const { signal } = this.#closed;
    for (let pauseMs = backoffMinMs; !signal.aborted; pauseMs = Math.min(backoffMaxMs, pauseMs * 2)) {
      const answer = await this.#fetch(id);
      if (typeof answer !== 'object' || !('trouble' in answer)) {
        this.#remember(id, answer);
        return;
      }
      if (signal.aborted) return;
      onTrouble?.(`schema ${id}: ${answer.trouble}; asking again in ${pauseMs} ms`);
      await clock.sleep(pauseMs, signal);
    }
  }

  #remember(id: number, answer: SchemaAnswer): void {
    const { schemasMax = 10_000 } = this.#options;
    this.#known.set(id, answer);
    if (this.#known.size <= schemasMax) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      return;
    }
  }

  async #fetch(id: number): Promise<SchemaAnswer | { readonly trouble: string }> {
    const { authorization, timeoutMs = 5_000, url } = this.#options;
    this.requests++;
    const signal = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(timeoutMs)]);
    const headers = authorization === undefined ? {} : { authorization };
    try {
      const response = await fetch(`${url.replace(/\/+$/, '')}/schemas/ids/${id}`, { headers, signal });
      const text = await readText(response);
      if (text === null) return { problem: `is longer than ${SCHEMA_BYTES_MAX} bytes` };
      return readReply(response.status, text);
    } catch (error) {
      return { trouble: `the registry does not answer: ${error instanceof Error ? causeOf(error) : String(error)}` };
    }
  }
}

// The message of fetch's own error says nothing.
function causeOf(error: Error): string {
  return error.cause instanceof Error && error.cause.message !== '' ? error.cause.message : error.message;
}

/** Null: too long. */
async function readText(response: Response): Promise<string | null> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of response.body ?? []) {
    sizeBytes += chunk.length;
    if (sizeBytes > REPLY_BYTES_MAX) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function readReply(status: number, text: string): SchemaAnswer | { readonly trouble: string } {
  let reply: Readonly<Record<string, unknown>>;
  try {
    reply = Object(JSON.parse(text));
  } catch {
    return { trouble: `the registry answers ${status} and no JSON` };
  }
  if (status === 404 && reply['error_code'] === SCHEMA_NOT_FOUND) return 'missing';
  if (status !== 200 || typeof reply['schema'] !== 'string') return { trouble: `the registry answers ${status}` };
  const schemaType = reply['schemaType'] ?? 'AVRO';
  if (schemaType !== 'AVRO') return { problem: `is of type ${String(schemaType)}, not AVRO` };
  if (Array.isArray(reply['references']) && reply['references'].length > 0) {
    return { problem: 'refers to other schemas, which is not supported' };
  }
  const schema = parseAvroSchema(reply['schema']);
  return typeof schema === 'string' ? { problem: schema } : { schema, plan: samplePlan(schema) };
}
