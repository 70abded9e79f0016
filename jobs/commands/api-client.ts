// Owns asking the admin API of a process that runs, wherever it is. Whatever goes wrong becomes a fault with a remedy.

import { printable, printableLines } from '#jobs/commands/human-text.ts';
import type { FaultView } from '#runtime/http/contract.ts';
import { ERROR_CODES, type ErrorCode, StreamError } from '#runtime/std/errors.ts';

export interface ApiAccess {
  /** Null: the environment says, or the default. */
  readonly url: string | null;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** @default 10 s */
  readonly timeoutMs?: number;
  /** @default 256 MiB, which no answer of the API comes near */
  readonly answerBytesMax?: number;
}

const DEFAULT_URL = 'http://127.0.0.1:8081';
const TIMEOUT_MS = 10_000;
const SHOWN_MAX = 100;
const ANSWER_BYTES_MAX = 256 * 2 ** 20;

export interface ApiChange {
  readonly method: 'PATCH' | 'DELETE' | 'POST';
  /** Null: none. */
  readonly body: object | null;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * What the API answers to `path`: to a GET, or to a change. Errors: those of the API; api-unreachable, api-foreign,
 * config-invalid.
 */
export async function askApi<T>(access: ApiAccess, path: string, change: ApiChange | null = null): Promise<T> {
  const base = baseUrl(access);
  const { answerBytesMax = ANSWER_BYTES_MAX, environment, timeoutMs = TIMEOUT_MS } = access;
  const token = environment['MILLRACE_TOKEN'];
  const body = change?.body ?? null;
  const headers = {
    accept: 'application/json',
    ...(token && { authorization: `Bearer ${token}` }),
    // Without a body, too: no page of others can send it so unasked.
    ...((body !== null || change?.method === 'POST') && { 'content-type': 'application/json' }),
    ...change?.headers,
  };
  const sent = { method: change?.method ?? 'GET', ...(body !== null && { body: JSON.stringify(body) }) };
  let status: number;
  let text: string;
  try {
    const signal = AbortSignal.timeout(timeoutMs);
    const answer = await fetch(`${base}${path}`, { ...sent, headers, redirect: 'manual', signal });
    status = answer.status;
    text = await textOf(answer, answerBytesMax);
  } catch (cause) {
    throw unreachable(base, timeoutMs, cause);
  }
  const told = parsed(text);
  if (told === null) throw foreign(base, status, text);
  if (status >= 200 && status < 300) return told as T;
  const { error } = told as { readonly error?: Partial<FaultView> };
  const { code, message, remedy } = error ?? {};
  if (typeof message !== 'string' || typeof remedy !== 'string') throw foreign(base, status, text);
  throw new StreamError(isKnown(code) ? code : 'api-foreign', printableLines(message), printableLines(remedy));
}

/** At most so much: who sends without end is none of Millrace, whose JSON would have come to its end. */
async function textOf({ body }: Response, bytesMax: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > bytesMax) break;
  }
  return Buffer.concat(chunks).toString('utf8');
}

function baseUrl({ environment, url }: ApiAccess): string {
  const given = url ?? (environment['MILLRACE_URL'] || DEFAULT_URL);
  if (/^https?:\/\/[^/]/i.test(given) && URL.canParse(given)) return given.replace(/[?#].*$/, '').replace(/\/+$/, '');
  const remedy = `set it to an address such as ${DEFAULT_URL}`;
  throw new StreamError(
    'config-invalid',
    `${url === null ? 'MILLRACE_URL' : '--url'} '${given}' is no address`,
    remedy,
  );
}

function parsed(text: string): object | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : null;
  } catch {
    return null;
  }
}

function isKnown(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERROR_CODES, code);
}

function foreign(base: string, status: number, text: string): StreamError {
  const began = printable(text.trim().slice(0, SHOWN_MAX).replaceAll(/\s+/g, ' '));
  const message = `what answers at ${base} is no admin API of Millrace: status ${status}${began === '' ? '' : `, ${began}`}`;
  return new StreamError('api-foreign', message, 'name the address of Millrace with --url or MILLRACE_URL');
}

function unreachable(base: string, timeoutMs: number, cause: unknown): StreamError {
  const { name } = cause as Error;
  const { code = '', message } = rootOf(cause);
  const why: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'nothing listens there',
    ENOTFOUND: 'the host is not known',
    EAI_AGAIN: 'the host is not known now',
    ECONNRESET: 'the connection was closed',
    UND_ERR_SOCKET: 'the connection was closed',
    ERR_SSL_WRONG_VERSION_NUMBER: 'what listens there speaks no TLS: try http:// instead of https://',
    ERR_SSL_PACKET_LENGTH_TOO_LONG: 'what listens there speaks no TLS: try http:// instead of https://',
  };
  if (/CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS/.test(code)) {
    const remedy = 'name the file of its authority in NODE_EXTRA_CA_CERTS, or ask under the name of the certificate';
    return new StreamError('api-unreachable', `the certificate of ${base} is not accepted: ${message}`, remedy, {
      cause,
    });
  }
  const reason =
    name === 'TimeoutError'
      ? `no answer within ${timeoutMs / 1_000}s`
      : (why[code] ?? printable((message || code).trim()));
  const remedy = 'start Millrace (millrace up), or name its address with --url or MILLRACE_URL';
  return new StreamError('api-unreachable', `no admin API answers at ${base}: ${reason}`, remedy, { cause });
}

/** fetch wraps what happened; several addresses of a host have failed each on its own. */
function rootOf(error: unknown): NodeJS.ErrnoException {
  const { cause, errors } = error as { readonly cause?: unknown; readonly errors?: readonly unknown[] };
  if (cause !== undefined) return rootOf(cause);
  return errors === undefined || errors.length === 0 ? (error as NodeJS.ErrnoException) : rootOf(errors[0]);
}
