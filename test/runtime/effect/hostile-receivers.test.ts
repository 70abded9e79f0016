// Receivers that do what none should: answers that are late, cut off, huge or a web page, connections that close under a
// request, and addresses where somebody refuses everything. No item is lost, none is condemned for what it is not.

import { createServer } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import type { Answer, Receiver } from '#runtime/effect/contract.ts';
import { Delivery } from '#runtime/effect/delivery.ts';
import { type Clock, systemClock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { closeAll, deliveryTo, OK, type Reply, serve, serveBytes, upTo } from './delivery-rig.ts';

afterEach(closeAll);

const TAKEN = 'HTTP/1.1 204 No Content\r\n\r\n';
const never = new AbortController().signal;

/** Sleeps of some seconds are over after a tenth of them: what a receiver may take for its answer's body. */
const shortened: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(ms > 1_000 && ms < 10_000 ? ms / 10 : ms, signal),
};

const REFUSED: Reply = { status: 400, body: 'unsupported path requested' };

test('who refuses a request without items as well speaks of us: nothing is condemned, all arrives when he is gone', async () => {
  const server = await serve((_, request) => (request <= 24 ? REFUSED : OK));
  const { flush, logger, outbox, slept } = deliveryTo(server.url);
  outbox.items = upTo(20);
  await flush();
  expect(server.taken).toEqual(upTo(20));
  expect(outbox.refused).toEqual([]);
  // One request and one without items for each try, no halves of halves.
  expect(slept).toHaveLength(12);
  expect(new Set(server.requests.slice(0, 24).map((items) => items.length))).toEqual(new Set([8, 0]));
  expect(logger.lines[0].message).toContain('answers 400 unsupported path requested');
  expect(logger.lines[0].fields).toMatchObject({ remedy: expect.stringContaining('correct the url') });
});

test('a receiver that begins to refuse everything in the midst is waited for, too', async () => {
  const broken = (request: number) => request > 4 && request <= 20;
  const server = await serve((items, request) => {
    if (broken(request)) return request % 2 === 0 ? REFUSED : { status: 502 };
    return items.includes(11) || items.includes(30) ? { status: 400, body: 'out of order' } : OK;
  });
  const { flush, outbox } = deliveryTo(server.url);
  outbox.items = upTo(40);
  await flush();
  expect(server.taken).toEqual(upTo(40).filter((item) => item !== 11 && item !== 30));
  expect(outbox.refused.map(([item]) => item)).toEqual([11, 30]);
});

test('items that are all bad are condemned by one who takes a request without items', async () => {
  const server = await serve((items) => (items.length > 0 ? { status: 422, body: 'too old' } : OK));
  const { flush, outbox, slept } = deliveryTo(server.url);
  outbox.items = upTo(20);
  await flush();
  expect(outbox.refused.map(([item]) => item)).toEqual(upTo(20));
  expect(slept).toEqual([]);
  expect(server.requests.filter((items) => items.length === 0)).toHaveLength(1);
});

test('a web page is no receiver, whatever its status: it is waited for until something else answers', async () => {
  const page = {
    status: 200,
    body: '<html>Please log in</html>',
    headers: { 'content-type': 'text/html; charset=utf-8' },
  };
  const server = await serve((_, request) => (request <= 3 ? page : OK));
  const { flush, logger, outbox, slept } = deliveryTo(server.url);
  outbox.items = [1, 2];
  await flush();
  expect(slept).toHaveLength(3);
  expect(server.requests.at(-1)).toEqual([1, 2]);
  expect(logger.lines[0].message).toContain('answers 200 <html>Please log in</html>');
  expect(logger.lines[0].fields).toMatchObject({ remedy: expect.stringContaining('web page') });
});

test('a success that says something is a success, and is told once', async () => {
  const body = `{"status":"error"}${'x'.repeat(5_000)}\u0007\n`;
  const server = await serve(() => ({ status: 200, body, headers: { 'content-type': 'application/json' } }));
  const { flush, logger, outbox } = deliveryTo(server.url);
  outbox.items = upTo(20);
  await flush();
  outbox.items = upTo(20);
  await flush();
  expect(server.taken).toHaveLength(40);
  expect(logger.lines).toHaveLength(1);
  expect(logger.lines[0].message).toContain('answers 200, which counts as taken, and adds: {"status":"error"}xxx');
  expect(logger.lines[0].message.length).toBeLessThan(500);
});

test('nobody is followed elsewhere, neither with data nor with credentials', async () => {
  const elsewhere = await serve(() => OK);
  const server = await serve((_, request) => {
    const status = [301, 302, 303, 307, 308][request - 1];
    return status === undefined ? OK : { status, headers: { location: elsewhere.url } };
  });
  const { flush, outbox, slept } = deliveryTo(server.url, { headers: { authorization: 'Bearer secret' } });
  outbox.items = [1];
  await flush();
  expect([server.taken, elsewhere.requests, slept.length]).toEqual([[1], [], 5]);
});

test.each([
  ['a body that never comes', 'HTTP/1.1 204 No Content\r\nContent-Length: 10\r\n\r\n', ''],
  ['a body that is cut off', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc', 'end'],
  ['a body that drips', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', 'drip'],
  ['chunks that are none', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', ''],
])('a head that says taken counts, behind it %s', async (_, head, then) => {
  const server = await serveBytes((socket) => {
    socket.write(head);
    if (then === 'end') socket.end();
    if (then !== 'drip') return;
    const drip = setInterval(() => socket.write('1\r\nx\r\n'), 20);
    socket.on('close', () => clearInterval(drip));
  });
  const { flush, outbox, slept } = deliveryTo(server.url, { clock: shortened });
  outbox.items = upTo(16);
  await flush();
  expect(server.requests.map((items) => JSON.parse(items))).toEqual([upTo(8), upTo(16).slice(8)]);
  expect(slept).toEqual([]);
});

test.each([
  ['no head', '\r\n\r\n\r\n'],
  ['half a head', 'HTTP/1.1 204 No Con'],
  ['a head without an end', `HTTP/1.1 204 No Content\r\nX: ${'x'.repeat(300_000)}`],
  ['another protocol', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'],
  ['only that it goes on', 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n'],
  ['a status that is none', 'HTTP/1.1 99999 What\r\n\r\n'],
])('%s is no answer: the same is sent again', async (_, bytes) => {
  const server = await serveBytes((socket, _items, request) => {
    if (request > 2) socket.write(TAKEN);
    else {
      socket.write(bytes);
      setTimeout(() => socket.end(), 20);
    }
  });
  const { flush, outbox, slept } = deliveryTo(server.url, { timeoutMs: 5_000 });
  outbox.items = [1, 2];
  await flush();
  expect(server.requests.map((items) => JSON.parse(items))).toEqual([
    [1, 2],
    [1, 2],
    [1, 2],
  ]);
  expect(slept).toHaveLength(2);
});

test('a head with many cookies is read', async () => {
  const cookies = Array.from({ length: 30 }, (_, i) => `Set-Cookie: c${i}=${'x'.repeat(3_000)}`).join('\r\n');
  const server = await serveBytes((socket) => socket.write(`HTTP/1.1 204 No Content\r\n${cookies}\r\n\r\n`));
  const { flush, outbox, slept } = deliveryTo(server.url);
  outbox.items = [1];
  await flush();
  expect([server.requests.length, slept]).toEqual([1, []]);
});

test.each(['end', 'destroy'] as const)('a peer that closes every kept connection (%s) costs no pause', async (how) => {
  const server = await serveBytes((socket) => socket.write(TAKEN, () => socket[how]()));
  const { flush, outbox, slept } = deliveryTo(server.url);
  for (let round = 0; round < 30; round++) {
    outbox.items = [round];
    await flush();
  }
  expect(new Set(server.requests)).toEqual(new Set(upTo(30).map((round) => `[${round}]`)));
  expect(slept).toEqual([]);
});

test('a receiver that dies at every second request is an outage, not a stale connection', async () => {
  const server = await serveBytes((socket, _items, request) => {
    if (request % 2 === 1) socket.write(TAKEN);
    else socket.destroy();
  });
  const { flush, outbox } = deliveryTo(server.url);
  outbox.items = upTo(24);
  await flush();
  expect([...new Set(server.requests)]).toHaveLength(3);
});

test('an answer that comes before the request is read is heard', async () => {
  let heard = 0;
  for (let round = 0; round < 5; round++) {
    const server = await serveBytes((socket) => {
      socket.end('HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\nContent-Length: 4\r\n\r\nless');
    }, true);
    const { receiver } = deliveryTo(server.url);
    const answer = await receiver.send(new Uint8Array(16 << 20), never).catch((error: unknown) => error);
    if (!(answer instanceof StreamError)) {
      expect(answer).toMatchObject({ status: 413, message: 'less' });
      heard++;
    }
  }
  // Who closes with data unread may reset the connection, and his answer with it; but not each time.
  expect(heard).toBeGreaterThan(0);
});

test('a name that nobody knows, and a port where TLS meets none, are outages with words', async () => {
  const silent = createServer((socket) => socket.end('plain text\r\n'));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const address = silent.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const faultOf = async (url: string) => {
    const { receiver } = deliveryTo(url);
    const error = await receiver.send(new Uint8Array([0]), never).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'receiver-unavailable', retryable: true });
    return (error as StreamError).message;
  };
  expect(await faultOf('http://receiver.invalid/api/v1/write')).toMatch(/ENOTFOUND|EAI_AGAIN/);
  expect(await faultOf(`https://127.0.0.1:${port}/api/v1/write`)).toMatch(
    /cannot be reached: .*(SSL|packet|wrong version)/i,
  );
  silent.close();
});

test('bytes of any kind in a refusal stay off logs and headers', async () => {
  const server = await serve((items) =>
    items.length > 0 ? { status: 400, body: 'no\u0000\u001b[31m\r\nX: y\u202e' } : OK,
  );
  const { flush, outbox } = deliveryTo(server.url);
  outbox.items = [1];
  await flush();
  expect(outbox.refused[0][1].message).toBe('no [31m X: y');
});

test('hours of outage take no memory, tell of themselves now and then, and end in order', async () => {
  const tries = 50_000;
  let requests = 0;
  const away = new StreamError('receiver-unavailable', 'cannot be reached: ECONNREFUSED', 'start it');
  const got: string[] = [];
  const receiver: Receiver = {
    address: 'nowhere',
    async send(body): Promise<Answer> {
      if (++requests <= tries) throw away;
      got.push(Buffer.from(body).toString());
      return { status: 204, message: '', retryAfter: null, contentType: null };
    },
    close() {},
  };
  const { context, logger, outbox } = deliveryTo('http://127.0.0.1:1/');
  const delivery = new Delivery({ target: 'test', outbox, receiver });
  outbox.items = upTo(10);
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  await delivery.flush(context);
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 << 20);
  expect(got).toEqual([JSON.stringify(upTo(8)), '[8,9]']);
  expect(logger.lines.length).toBeLessThan(tries / 20);
  expect(delivery.waitingFor).toBeNull();
});

test('whoever is stopped while items are singled out begins again with all of them', async () => {
  const bad = new Set([5, 13]);
  const refuse = { status: 400, body: 'out of order' };
  for (let stopAt = 1; ; stopAt++) {
    const server = await serve((items) => (items.some((item) => bad.has(item)) ? refuse : OK));
    const first = deliveryTo(server.url);
    const { receiver } = first;
    const stopping: Receiver = {
      address: receiver.address,
      send: (body, signal) => {
        if (server.requests.length === stopAt) first.abort.abort();
        return receiver.send(body, signal);
      },
      close: () => receiver.close(),
    };
    const { outbox } = first;
    outbox.items = upTo(16);
    const error = await new Delivery({ target: 'test', outbox, receiver: stopping })
      .flush(first.context)
      .catch((thrown: unknown) => thrown);
    const again = deliveryTo(server.url);
    again.outbox.items = upTo(16);
    await again.flush();
    expect(again.outbox.refused.map(([item]) => item)).toEqual([5, 13]);
    const good = upTo(16).filter((item) => !bad.has(item));
    expect([...new Set(server.taken)]).toEqual(good);
    expect(server.taken.slice(-good.length)).toEqual(good);
    if (error === undefined) break;
    expect(error).toMatchObject({ code: 'receiver-unavailable' });
  }
}, 30_000);
