// Delivery to a real HTTP server that misbehaves: what is tried again, when, and what is singled out.

import { afterEach, expect, test } from 'vitest';
import { systemClock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { closeAll, deliveryTo, OK, serve, upTo } from './delivery-rig.ts';

afterEach(closeAll);

test('items go in requests of bounded size, in order, over one connection', async () => {
  const server = await serve(() => OK);
  const { delivery, flush, outbox } = deliveryTo(server.url);
  outbox.items = upTo(20);
  await flush();
  outbox.items = [20, 21];
  await flush();
  expect(server.taken).toEqual(upTo(22));
  expect(server.requests.map((items) => items.length)).toEqual([8, 8, 4, 2]);
  expect(server.sockets.size).toBe(1);
  expect(delivery.settled).toBe(22);
});

test.each([500, 503, 429, 408])('%i is tried again until it is over', async (status) => {
  const server = await serve((_, request) => (request <= 5 ? { status } : OK));
  const { delivery, flush, outbox, slept } = deliveryTo(server.url);
  outbox.items = upTo(10);
  await flush();
  expect(server.taken).toEqual(upTo(10));
  expect(slept).toHaveLength(5);
  expect(delivery.waitingFor).toBeNull();
  expect(outbox.refused).toEqual([]);
});

test('pauses grow to a bound, between half and all of the exponential one', async () => {
  const server = await serve((_, request) => (request <= 14 ? { status: 500 } : OK));
  const { flush, outbox, slept } = deliveryTo(server.url);
  outbox.items = [1];
  await flush();
  expect(slept).toHaveLength(14);
  for (const [at, ms] of slept.entries()) {
    const full = Math.min(30_000, 100 * 2 ** at);
    expect(ms).toBeGreaterThanOrEqual(full / 2);
    expect(ms).toBeLessThanOrEqual(full);
  }
  const shares = slept.map((ms, at) => ms / Math.min(30_000, 100 * 2 ** at));
  expect(new Set(shares.map((share) => share.toFixed(3))).size).toBeGreaterThan(10);
});

test.each([
  ['7', 7_000],
  ['Tue, 14 Nov 2023 22:13:50 GMT', 30_000],
  ['86400', 3_600_000],
  ['Fri, 31 Dec 9999 23:59:59 GMT', 3_600_000],
])('Retry-After: %s is honoured', async (retryAfter, ms) => {
  const server = await serve((_, request) => (request === 1 ? { status: 429, retryAfter } : OK));
  const { flush, outbox, slept } = deliveryTo(server.url);
  outbox.items = [1];
  await flush();
  expect(slept).toEqual([ms]);
});

test.each([
  'soon',
  '0',
  '-5',
  '1e9',
  '99999999999999999999',
  'Tue, 14 Nov 2023 22:13:10 GMT',
  'Tue, 14 Nov 2023 22:13:20 GMT',
  'Tue, 40 Nov 2023 22:13:20 GMT',
])('a Retry-After of %s means nothing and leaves the usual pause', async (retryAfter) => {
  const server = await serve((_, request) => (request === 1 ? { status: 503, retryAfter } : OK));
  const { flush, outbox, slept } = deliveryTo(server.url);
  outbox.items = [1];
  await flush();
  expect(slept[0]).toBeGreaterThanOrEqual(50);
  expect(slept[0]).toBeLessThanOrEqual(100);
});

test('a refused item is singled out; all others arrive once and in order', async () => {
  const bad = new Set([3, 4, 11]);
  const refuse = { status: 400, body: 'out of order sample' };
  const server = await serve((items) => (items.some((item) => bad.has(item)) ? refuse : OK));
  const { delivery, flush, outbox } = deliveryTo(server.url);
  outbox.items = upTo(20);
  await flush();
  expect(server.taken).toEqual(upTo(20).filter((item) => !bad.has(item)));
  expect(outbox.refused.map(([item]) => item)).toEqual([3, 4, 11]);
  expect(outbox.refused[0][1]).toMatchObject({ status: 400, message: 'out of order sample' });
  expect(delivery.settled).toBe(20);
  expect(server.requests.length).toBeLessThanOrEqual(21);
});

test('who refused everything and is gone when that is looked at has condemned nothing', async () => {
  const server = await serve((_, request) => (request === 1 ? { status: 400, body: 'no route' } : OK));
  const { flush, outbox } = deliveryTo(server.url);
  outbox.items = [1];
  await flush();
  expect(outbox.refused).toEqual([]);
  expect(server.taken).toEqual([1]);
});

test('a request that is too large is halved until it fits', async () => {
  const server = await serve((items) => (items.length > 3 ? { status: 413 } : OK));
  const { flush, outbox } = deliveryTo(server.url);
  outbox.items = upTo(16);
  await flush();
  expect(server.taken).toEqual(upTo(16));
  expect(outbox.refused).toEqual([]);
});

test.each([301, 401, 403, 404, 405])(
  '%i says nothing about the data: it waits, visibly, and loses nothing',
  async (status) => {
    const server = await serve((_, request) => (request <= 3 ? { status, body: 'no' } : OK));
    const { context, delivery, flush, outbox } = deliveryTo(server.url);
    const seen: (string | null)[] = [];
    const sleep = context.clock.sleep;
    Object.assign(context.clock, {
      sleep: (ms: number) => {
        seen.push(delivery.waitingFor);
        return sleep(ms);
      },
    });
    outbox.items = upTo(5);
    await flush();
    expect(server.taken).toEqual(upTo(5));
    expect(outbox.refused).toEqual([]);
    expect(seen).toHaveLength(3);
    expect(seen[0]).toContain(`answers ${status} no`);
    expect(seen[0]).toContain(new URL(server.url).host);
  },
);

test('a lost answer is asked for again with the same bytes', async () => {
  const server = await serve((_, request) => (request === 2 ? 'take-and-cut' : OK));
  const { flush, outbox } = deliveryTo(server.url);
  outbox.items = upTo(20);
  await flush();
  expect(server.requests[2]).toEqual(server.requests[1]);
  expect([...new Set(server.taken)]).toEqual(upTo(20));
});

test('a refusal behind a lost answer is still singled out', async () => {
  const server = await serve((items, request) => {
    if (request === 1) return 'cut';
    return items.includes(6) ? { status: 422 } : OK;
  });
  const { flush, outbox } = deliveryTo(server.url);
  outbox.items = upTo(8);
  await flush();
  expect(server.taken).toEqual([0, 1, 2, 3, 4, 5, 7]);
  expect(outbox.refused.map(([item]) => item)).toEqual([6]);
});

test('a receiver that never answers is given up after the time-out', async () => {
  const server = await serve((_, request) => (request === 1 ? 'hang' : OK));
  const { flush, outbox, slept } = deliveryTo(server.url, { timeoutMs: 100 });
  outbox.items = [1];
  await flush();
  expect(server.taken).toEqual([1]);
  expect(slept).toHaveLength(1);
});

test('an abort ends the wait for an answer at once, and says what it waited for', async () => {
  const server = await serve(() => 'hang');
  const { abort, flush, outbox } = deliveryTo(server.url);
  outbox.items = [1];
  const flushed = flush().catch((error: unknown) => error);
  while (server.requests.length === 0) await systemClock.sleep(5);
  abort.abort();
  const error = await flushed;
  expect(error).toBeInstanceOf(StreamError);
  expect(error).toMatchObject({ code: 'receiver-unavailable', retryable: true });
  expect(outbox.items).toEqual([1]);
});

test('nobody at the address is waited for', async () => {
  const server = await serve(() => OK);
  const { context, delivery, outbox } = deliveryTo('http://127.0.0.1:1/api/v1/write');
  outbox.items = [1];
  const abort = new AbortController();
  let tries = 0;
  Object.assign(context, { signal: abort.signal });
  Object.assign(context.clock, {
    sleep: async () => {
      if (++tries === 10) abort.abort();
    },
  });
  await expect(delivery.flush(context)).rejects.toThrow(/cannot be reached: .*ECONNREFUSED/);
  expect(server.taken).toEqual([]);
});

test('a huge answer is not read to its end', async () => {
  const server = await serve((_, request) => (request === 1 ? { status: 500, body: 'x'.repeat(5_000_000) } : OK));
  const { flush, outbox } = deliveryTo(server.url);
  outbox.items = [1];
  await flush();
  expect(server.taken).toEqual([1]);
});
