// Owns the path at which other processes of the installation ask this one: who may, and how much at once. It is no part of
// the admin API that people use: without the token of the installation there is no such path.

import { createHash, timingSafeEqual } from 'node:crypto';
import { decodePeer, encodePeer, faultAnswer, PEER_PATH, type PeerAnswer } from '#runtime/http/peer-words.ts';

export interface PeerDoor {
  /** Of the installation; null while it is not known. */
  token(): string | null;
  /** What it throws is told. */
  answer(question: unknown): Promise<unknown>;
}

const QUESTIONS_MAX = 64;

/** Whether a request is one of another process, which needs no other check than this. */
export function isPeerRequest(door: PeerDoor | null, method: string, path: string, authorization: string): boolean {
  if (door === null || method !== 'POST' || path !== PEER_PATH) return false;
  const token = door.token();
  return token !== null && timingSafeEqual(digest(authorization), digest(`Bearer ${token}`));
}

/** Answers the body of a question; null: too many are under way. */
export function peerAnswers(door: PeerDoor): (body: Buffer) => Promise<Buffer | null> {
  let open = 0;
  return async (body) => {
    if (open >= QUESTIONS_MAX) return null;
    open++;
    try {
      return encodePeer(await answer(door, body));
    } finally {
      open--;
    }
  };
}

async function answer(door: PeerDoor, body: Buffer): Promise<PeerAnswer> {
  try {
    return { kind: 'answer', value: await door.answer(decodePeer(body)) };
  } catch (error) {
    return faultAnswer(error);
  }
}

/** Of one length, as the comparison needs them. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
