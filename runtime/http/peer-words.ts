// Owns how processes of one installation write to each other over HTTP: what is asked and answered as bytes, errors too.
// Structured clones, as between threads: states hold values that JSON has not. Only who has the token of the installation
// is read at all.

import { deserialize, serialize } from 'node:v8';
import { ERROR_CODES, type ErrorCode, StreamError } from '#runtime/std/errors.ts';

export const PEER_PATH = '/internal/ask';
export const PEER_TYPE = 'application/octet-stream';
/** Of a question: a job module with what it imports is the longest. */
export const PEER_BYTES_MAX = 16 * 1024 * 1024;

export type PeerAnswer =
  | { readonly kind: 'answer'; readonly value: unknown }
  | { readonly kind: 'fault'; readonly code: string; readonly message: string; readonly remedy: string };

export function encodePeer(value: unknown): Buffer {
  return serialize(value);
}

/** Error: log-protocol when the bytes are no such word. */
export function decodePeer(bytes: Uint8Array): unknown {
  try {
    return deserialize(bytes);
  } catch (cause) {
    const remedy = 'run the same version of Millrace in all processes';
    throw new StreamError('peer-unreachable', 'another process wrote what this one cannot read', remedy, { cause });
  }
}

/** The value of an answer, or the fault that it is, thrown. */
export function openAnswer(bytes: Uint8Array): unknown {
  const answer = decodePeer(bytes) as PeerAnswer;
  if (answer.kind === 'answer') return answer.value;
  const code = Object.hasOwn(ERROR_CODES, answer.code) ? (answer.code as ErrorCode) : 'internal-error';
  throw new StreamError(code, answer.message, answer.remedy);
}

/** What is told of a fault: those that are no StreamError are bugs there, and stand in its log. */
export function faultAnswer(error: unknown): PeerAnswer {
  if (error instanceof StreamError) {
    return { kind: 'fault', code: error.code, message: error.message, remedy: error.remedy };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { kind: 'fault', code: 'internal-error', message, remedy: 'look into the log of that process' };
}
