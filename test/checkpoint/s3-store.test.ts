// The S3 store: the suite of all stores and its own promises on a real server, its manners towards one that stumbles on
// a scripted one in between.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CheckpointStore } from '#checkpoint/contract.ts';
import type { S3Options } from '#checkpoint/s3-client.ts';
import { S3Client } from '#checkpoint/s3-client.ts';
import { S3Store } from '#checkpoint/s3-store.ts';
import { Cells } from '#test/checkpoint/cells.ts';
import { acceptAll, checkpointsOn, confirmedAt, stillClock, task } from '#test/checkpoint/world.ts';
import { type S3Server, startS3Server } from '#test/harness/s3-server.ts';
import { checkpointStoreSuite } from '#test/suites/checkpoint-store.suite.ts';

let s3: S3Server;
let buckets = 0;
beforeAll(async () => {
  s3 = await startS3Server();
}, 300_000);
afterAll(() => s3?.stop());

function optionsOf(bucket: string, endpoint = s3.endpoint): S3Options {
  const { accessKeyId, secretAccessKey } = s3;
  return { bucket, endpoint, region: 'us-east-1', credentials: { accessKeyId, secretAccessKey } };
}

async function newBucket(): Promise<string> {
  const bucket = `bucket-${++buckets}`;
  const { status } = await new S3Client(optionsOf(bucket), stillClock).send({ method: 'PUT', key: '' });
  expect(status).toBe(200);
  return bucket;
}

function storeIn(bucket: string, change: Partial<S3Options> & { prefix?: string; listMax?: number } = {}): S3Store {
  return new S3Store({ ...optionsOf(bucket), prefix: 'one/', clock: stillClock, ...change });
}

checkpointStoreSuite('s3', {
  async create() {
    const bucket = await newBucket();
    return { open: () => storeIn(bucket) };
  },
});

checkpointStoreSuite('s3, two keys to a page of its lists', {
  async create() {
    const bucket = await newBucket();
    return { open: () => storeIn(bucket, { listMax: 2, prefix: '' }) };
  },
});

const NAMES = Array.from({ length: 7 }, (_, i) => `000000000000000${i}-01AAAA-1.segment`);

describe('the S3 store', () => {
  it('lists every file, over many pages, and none that others put beside them', async () => {
    const bucket = await newBucket();
    const store = storeIn(bucket, { listMax: 2 });
    for (const name of NAMES) await store.write(task, name, Buffer.from(name));
    const client = new S3Client(optionsOf(bucket), stillClock);
    for (const key of ["a & b's <file>", 'deeper/file', 'ä%20+?#']) {
      const body = Buffer.from('not ours');
      expect((await client.send({ method: 'PUT', key: `one/test/rollups/live/g1/1m/3/${key}`, body })).status).toBe(
        200,
      );
    }
    expect((await store.list(task)).sort()).toEqual(NAMES);
    await store.remove(task, NAMES);
    expect(await store.list(task)).toEqual([]);
  });

  it('keeps prefixes of one bucket apart', async () => {
    const bucket = await newBucket();
    await storeIn(bucket).writeInstallation('01ONE');
    await storeIn(bucket, { prefix: 'two/' }).writeInstallation('01TWO');
    expect(await storeIn(bucket).readInstallation()).toBe('01ONE');
  });

  it('lets one of two installations have it that come at the same time', async () => {
    const bucket = await newBucket();
    const ids = ['01A', '01B', '01C', '01D'];
    const outcomes = await Promise.allSettled(ids.map((id) => storeIn(bucket).writeInstallation(id)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const winner = ids[outcomes.findIndex(({ status }) => status === 'fulfilled')];
    expect(await storeIn(bucket).readInstallation()).toBe(winner);
  });

  it('carries checkpoints through restore, retention and clean-up', async () => {
    const bucket = await newBucket();
    let checkpoints = checkpointsOn(storeIn(bucket), { segmentBytesMax: 300 });
    let state = new Cells('panes/1m').open(checkpoints);
    for (let entry = 1; entry <= 6; entry++) {
      for (let cell = 0; cell < 400; cell += entry) state.set(cell, entry * 1_000 + cell);
      const { digest } = await confirmedAt(checkpoints, entry);
      await checkpoints.deleteListed(checkpoints.dead());
      const before = state.copy();
      checkpoints = checkpointsOn(storeIn(bucket), { segmentBytesMax: 300 });
      state = new Cells('panes/1m').open(checkpoints);
      const { manifest } = await checkpoints.restore(acceptAll);
      expect(manifest?.digest).toBe(digest);
      expect(state.copy()).toEqual(before);
    }
    expect(checkpoints.kept()).toHaveLength(3);
  });

  it('starts where it can write, leaves nothing, and says what is wrong where it cannot', async () => {
    const bucket = await newBucket();
    await storeIn(bucket).requireWritable('01TOKEN');
    const client = new S3Client(optionsOf(bucket), stillClock);
    const listing = await client.send({ method: 'GET', key: '', query: { 'list-type': '2' } });
    expect(listing.body.toString()).not.toContain('<Key>');
    const wrong = { credentials: { accessKeyId: s3.accessKeyId, secretAccessKey: 'wrong' } };
    for (const [store, reason] of [
      [storeIn('no-such-bucket'), '404 NoSuchBucket'],
      [storeIn(bucket, wrong), '403 SignatureDoesNotMatch'],
    ] as const) {
      for (const attempt of [
        () => store.requireWritable('01TOKEN'),
        () => store.readInstallation(),
        () => store.list(task),
        () => store.read(task, NAMES[0]),
        () => store.write(task, NAMES[0], new Uint8Array(1)),
      ]) {
        const refused = { code: 'store-refused', retryable: false, message: expect.stringContaining(reason) };
        await expect(attempt()).rejects.toMatchObject(refused);
      }
    }
    const message = await storeIn(bucket, wrong)
      .list(task)
      .catch((error: Error) => error.message);
    expect(message).not.toContain('wrong');
  });
});

type Script = (request: IncomingMessage, response: ServerResponse, forward: () => Promise<void>) => void;

/** A server that passes requests on to the real one, unless its script says otherwise. */
async function between(script: Script): Promise<{ endpoint: string; server: Server }> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const forward = async () => {
        const { host, connection, 'content-length': _, ...headers } = request.headers as Record<string, string>;
        const answer = await fetch(`${s3.endpoint}${request.url}`, {
          method: request.method as string,
          headers: { ...headers, host },
          ...(chunks.length === 0 ? {} : { body: Buffer.concat(chunks) }),
        });
        const body = Buffer.from(await answer.arrayBuffer());
        if (!response.destroyed) response.writeHead(answer.status).end(body);
      };
      script(request, response, forward);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

describe('an S3 server that stumbles', () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close().closeAllConnections();
  });

  /** A store on a server that answers by itself: it checks no signature. */
  async function scripted(script: Script): Promise<CheckpointStore> {
    const { endpoint, server } = await between(script);
    servers.push(server);
    return storeIn('any', { endpoint });
  }

  it('is asked again after 500, 503, 429 and a closed connection', async () => {
    const faults = [500, 503, 429, 0];
    const store = await scripted((request, response) => {
      const fault = faults.shift();
      if (fault === 0) request.socket.destroy();
      else if (fault !== undefined) response.writeHead(fault).end('<Error><Code>SlowDown</Code></Error>');
      else response.writeHead(200).end('content');
    });
    expect(Buffer.from(await store.read(task, NAMES[0])).toString()).toBe('content');
    expect(faults).toEqual([]);
  });

  it('is unavailable, to be tried again later, when that does not help', async () => {
    let asked = 0;
    const store = await scripted((_, response) => {
      asked++;
      response.writeHead(503).end('<Error><Code>SlowDown</Code></Error>');
    });
    const unavailable = { code: 'store-unavailable', retryable: true, message: expect.stringContaining('SlowDown') };
    await expect(store.read(task, NAMES[0])).rejects.toMatchObject(unavailable);
    expect(asked).toBe(5);
    servers[0].close().closeAllConnections();
    await expect(store.list(task)).rejects.toMatchObject({ code: 'store-unavailable' });
  });

  it('may have taken a file and lost the answer: that is no replacement; another content is', async () => {
    const files = new Map<string, string>();
    let lose = true;
    const store = await scripted((request, response) => {
      const key = String(request.url);
      if (request.method === 'GET') return void response.writeHead(200).end(files.get(key));
      expect(request.headers['if-none-match']).toBe('*');
      if (files.has(key)) return void response.writeHead(412).end('<Error><Code>PreconditionFailed</Code></Error>');
      files.set(key, 'content');
      if (lose) request.socket.destroy();
      else response.writeHead(200).end();
    });
    await store.write(task, NAMES[0], Buffer.from('content'));
    await expect(store.write(task, NAMES[1], Buffer.from('other'))).rejects.toThrow('never replaced');
    lose = false;
    await store.write(task, NAMES[2], Buffer.from('content'));
    await expect(store.write(task, NAMES[2], Buffer.from('content'))).rejects.toThrow('never replaced');
  });

  it('is refused when it ignores or does not know conditional writes', async () => {
    for (const status of [200, 501]) {
      const store = await scripted((request, response) => {
        response.writeHead(request.method === 'DELETE' ? 204 : status).end();
      });
      const refused = { code: 'store-refused', remedy: expect.stringContaining('conditional writes') };
      await expect(store.requireWritable('01TOKEN')).rejects.toMatchObject(refused);
    }
  });

  it('is not believed when it cuts a list or a file short', async () => {
    const cut = await scripted((_, response) => {
      response.writeHead(200, { 'content-length': '10' });
      response.write('short');
      setTimeout(() => response.destroy(), 5);
    });
    await expect(cut.read(task, NAMES[0])).rejects.toMatchObject({ code: 'store-unavailable' });
    const list = await scripted((_, response) => {
      response
        .writeHead(200)
        .end('<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>a</Key></Contents></ListBucketResult>');
    });
    await expect(list.list(task)).rejects.toMatchObject({ code: 'store-refused' });
    const portal = await scripted(
      (_, response) => void response.writeHead(200).end('<html>Welcome to our network</html>'),
    );
    await expect(portal.list(task)).rejects.toMatchObject({ code: 'store-refused' });
  });
});
