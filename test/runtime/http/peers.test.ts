// What processes of one installation ask each other, over a real socket: only who knows the installation is heard, errors
// arrive as they were thrown, and nothing is waited for without end.

import { afterEach, expect, test } from 'vitest';
import type { AdminServer } from '#runtime/http/admin-server.ts';
import { peerClient } from '#runtime/http/peer-client.ts';
import type { PeerDoor } from '#runtime/http/peer-door.ts';
import { decodePeer, encodePeer, PEER_PATH, PEER_TYPE } from '#runtime/http/peer-words.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { ApiWorld, LOCAL } from './api-world.ts';

const TOKEN = 'of the installation';
const PATIENT_MS = 10_000;

let server: AdminServer | null = null;
afterEach(async () => server?.close());

async function listen(door: PeerDoor): Promise<string> {
  server = new ApiWorld().serverOf({ peers: door });
  await server.listen('127.0.0.1', 0);
  return server.url;
}

const echo: PeerDoor = { token: () => TOKEN, answer: async (question) => question };

test('a question arrives with values that JSON has not, and so does its answer', async () => {
  const url = await listen(echo);
  const question = { kind: 'state', at: new Map([[1n, new Float64Array([Number.NaN, -0])]]), nothing: undefined };
  expect(await peerClient(() => TOKEN)(url, question, PATIENT_MS)).toEqual(question);
});

test('an error arrives as it was thrown, and a bug as one that stands in the other log', async () => {
  const faults = [new StreamError('not-ready', 'not yet', 'wait'), new TypeError('x is undefined')];
  const url = await listen({
    token: () => TOKEN,
    answer: async () => {
      throw faults.shift();
    },
  });
  const ask = () => peerClient(() => TOKEN)(url, null, PATIENT_MS);
  await expect(ask()).rejects.toMatchObject({ code: 'not-ready', message: 'not yet', remedy: 'wait' });
  await expect(ask()).rejects.toMatchObject({ code: 'internal-error', message: 'x is undefined' });
});

test('without the token of the installation there is no such path, whatever is sent', async () => {
  let heard = 0;
  const door: PeerDoor = { token: () => TOKEN, answer: async () => heard++ };
  const world = new ApiWorld();
  const guarded = world.serverOf({ peers: door });
  const headers = { ...LOCAL, 'content-type': PEER_TYPE };
  const send = async (more: Record<string, string>) => {
    const payload = encodePeer({ kind: 'status' });
    return (await guarded.inject({ method: 'POST', url: PEER_PATH, headers: { ...headers, ...more }, payload }))
      .statusCode;
  };
  expect(await send({})).toBe(404);
  expect(await send({ authorization: 'Bearer wrong' })).toBe(404);
  expect(await send({ authorization: `Bearer ${TOKEN}x` })).toBe(404);
  expect((await world.get(PEER_PATH, { ...LOCAL, authorization: `Bearer ${TOKEN}` }, guarded)).status).toBe(404);
  expect(heard).toBe(0);
  expect(await send({ authorization: `Bearer ${TOKEN}` })).toBe(200);
  expect(heard).toBe(1);
});

test('while the installation is not known nobody is asked, and nobody is answered', async () => {
  const url = await listen({ ...echo, token: () => null });
  await expect(peerClient(() => null)(url, null, PATIENT_MS)).rejects.toMatchObject({ code: 'peer-unreachable' });
  await expect(peerClient(() => TOKEN)(url, null, PATIENT_MS)).rejects.toMatchObject({ code: 'peer-unreachable' });
});

test('who does not answer in time, or is not there, is a fault that passes', async () => {
  const url = await listen({ token: () => TOKEN, answer: () => new Promise(() => {}) });
  const ask = peerClient(() => TOKEN);
  await expect(ask(url, null, 50)).rejects.toMatchObject({ code: 'peer-unreachable', retryable: true });
  await expect(ask('http://127.0.0.1:1', null, PATIENT_MS)).rejects.toMatchObject({ code: 'peer-unreachable' });
});

test('a question that is too long, or is none, is refused, and the next one is answered', async () => {
  const url = await listen(echo);
  const authorization = `Bearer ${TOKEN}`;
  const send = (body: Uint8Array<ArrayBuffer>) => {
    return fetch(new URL(PEER_PATH, url), {
      method: 'POST',
      headers: { authorization, 'content-type': PEER_TYPE },
      body,
    });
  };
  expect((await send(new Uint8Array(17 * 1024 * 1024))).status).toBe(413);
  const answer = await send(new Uint8Array([1, 2, 3]));
  expect(decodePeer(new Uint8Array(await answer.arrayBuffer()))).toMatchObject({ kind: 'fault' });
  expect(await peerClient(() => TOKEN)(url, 'next', PATIENT_MS)).toBe('next');
});
