// Owns a TCP proxy in front of Kafka that loses, delays or cuts single requests by API key. It rewrites the addresses in
// the answers of the product's Metadata and FindCoordinator requests, so that all its connections come through here;
// other clients get through it to the brokers themselves.

import { createServer, connect as netConnect, type Server, type Socket } from 'node:net';

export type ProxyFault = 'request-lost' | 'answer-lost' | 'request-late' | 'closed-before' | 'closed-after';

export interface ProxyRule {
  readonly apiKey: number;
  readonly how: ProxyFault;
  /** For `request-late`: the request goes on when the next one of this API key is about to be answered. */
  readonly lateUntil?: number;
  /** Looks into the request (from its API key on). */
  readonly where?: (request: Buffer) => boolean;
}

interface ActiveRule extends ProxyRule {
  readonly happened: () => void;
}

interface Late {
  readonly until: number;
  send(): Promise<void>;
}

const FIND_COORDINATOR = 10;
const METADATA = 3;

export class KafkaProxy {
  readonly #servers = new Map<string, { readonly server: Server; readonly port: number }>();
  readonly #sockets = new Set<Socket>();
  readonly #rules: ActiveRule[] = [];
  readonly #late: Late[] = [];
  #bootstrap: string[] = [];
  #down = false;
  #silent = false;
  /** Requests that went through, by API key. */
  readonly seen = new Map<number, number>();

  static async start(brokers: readonly string[]): Promise<KafkaProxy> {
    const proxy = new KafkaProxy();
    for (const broker of brokers) proxy.#bootstrap.push(`127.0.0.1:${await proxy.portFor(broker)}`);
    return proxy;
  }

  /** What clients are to be given as brokers. */
  get brokers(): string[] {
    return this.#bootstrap;
  }

  /** The next request that matches suffers the fault; `done` resolves when it has. */
  inject(rule: ProxyRule): { readonly done: Promise<void> } {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#rules.push({ ...rule, happened: resolve });
    return { done: promise };
  }

  /** Cuts all connections and takes no new ones until `up`. */
  down(): void {
    this.#down = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  up(): void {
    this.#down = false;
    this.#silent = false;
  }

  /** Takes connections and requests, old and new, and answers nothing until `up`; what was asked meanwhile is lost. */
  hang(): void {
    this.#silent = true;
  }

  get silent(): boolean {
    return this.#silent;
  }

  async close(): Promise<void> {
    this.down();
    for (const { server } of this.#servers.values()) await new Promise((resolve) => server.close(resolve));
  }

  async portFor(broker: string): Promise<number> {
    const known = this.#servers.get(broker);
    if (known !== undefined) return known.port;
    const server = createServer((client) => this.#link(client, broker));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('a loopback server has no port');
    this.#servers.set(broker, { server, port: address.port });
    return address.port;
  }

  track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => this.#sockets.delete(socket));
  }

  takeRule(request: Buffer): ActiveRule | null {
    const apiKey = request.readInt16BE(0);
    this.seen.set(apiKey, (this.seen.get(apiKey) ?? 0) + 1);
    const index = this.#rules.findIndex((rule) => rule.apiKey === apiKey && (rule.where?.(request) ?? true));
    return index < 0 ? null : this.#rules.splice(index, 1)[0];
  }

  addLate(late: Late): void {
    this.#late.push(late);
  }

  async releaseLate(apiKey: number): Promise<void> {
    for (let i = this.#late.length - 1; i >= 0; i--) {
      if (this.#late[i].until === apiKey) await this.#late.splice(i, 1)[0].send();
    }
  }

  #link(client: Socket, broker: string): void {
    this.track(client);
    if (this.#down) client.destroy();
    else new Link(this, client, broker);
  }
}

/** One client connection and its connection to the broker. */
class Link {
  readonly #proxy: KafkaProxy;
  readonly #client: Socket;
  readonly #broker: Socket;
  readonly #asked: { correlation: number; apiKey: number; version: number; fate: 'pass' | 'lose' | 'cut' | 'late' }[] =
    [];
  readonly #answered = new Map<number, () => void>();
  #lateCount = 0;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(proxy: KafkaProxy, client: Socket, broker: string) {
    this.#proxy = proxy;
    this.#client = client;
    const [host, port] = broker.split(':');
    this.#broker = netConnect({ host, port: Number(port), noDelay: true });
    proxy.track(this.#broker);
    frames(client, (frame) => this.#request(frame));
    frames(this.#broker, (frame) => {
      this.#queue = this.#queue.then(() => this.#answer(frame)).catch(() => this.#client.destroy());
    });
    client.once('close', () => {
      if (this.#lateCount === 0) this.#broker.destroy();
    });
    this.#broker.once('close', () => {
      this.#client.destroy();
      for (const answered of this.#answered.values()) answered();
    });
  }

  #request(frame: Buffer): void {
    if (this.#proxy.silent) return;
    const body = frame.subarray(4);
    const rule = this.#proxy.takeRule(body);
    const asked = { apiKey: body.readInt16BE(0), version: body.readInt16BE(2), correlation: body.readInt32BE(4) };
    if (rule === null) this.#forward(frame, { ...asked, fate: 'pass' });
    else if (rule.how === 'request-lost') rule.happened();
    else if (rule.how === 'closed-before') {
      this.#client.destroy();
      rule.happened();
    } else if (rule.how === 'request-late') this.#hold(frame, asked, rule);
    else {
      this.#answered.set(asked.correlation, rule.happened);
      this.#forward(frame, { ...asked, fate: rule.how === 'answer-lost' ? 'lose' : 'cut' });
    }
  }

  #hold(frame: Buffer, asked: { apiKey: number; version: number; correlation: number }, rule: ActiveRule): void {
    this.#lateCount++;
    this.#proxy.addLate({
      until: rule.lateUntil ?? asked.apiKey,
      send: () =>
        new Promise<void>((resolve) => {
          this.#answered.set(asked.correlation, () => {
            this.#lateCount--;
            rule.happened();
            resolve();
          });
          this.#forward(frame, { ...asked, fate: 'late' });
        }),
    });
  }

  #forward(
    frame: Buffer,
    asked: { correlation: number; apiKey: number; version: number; fate: 'pass' | 'lose' | 'cut' | 'late' },
  ): void {
    this.#asked.push(asked);
    this.#broker.write(frame);
  }

  async #answer(frame: Buffer): Promise<void> {
    if (this.#proxy.silent) return;
    const correlation = frame.readInt32BE(4);
    const index = this.#asked.findIndex((one) => one.correlation === correlation);
    if (index < 0) return;
    const [{ apiKey, version, fate }] = this.#asked.splice(index, 1);
    if (fate === 'pass') {
      await this.#proxy.releaseLate(apiKey);
      this.#client.write(await this.#rewritten(frame, apiKey, version));
      return;
    }
    if (fate === 'cut') this.#client.destroy();
    if (fate === 'late') this.#broker.destroy();
    this.#answered.get(correlation)?.();
    this.#answered.delete(correlation);
  }

  async #rewritten(frame: Buffer, apiKey: number, version: number): Promise<Buffer> {
    if (apiKey === METADATA && version === 12) return this.#metadata(frame);
    if (apiKey === FIND_COORDINATOR && version === 2) return this.#coordinator(frame);
    return frame;
  }

  /** Metadata v12: size, correlation, tags, throttle, count + 1, then node, host, port, rack, tags per broker. */
  async #metadata(frame: Buffer): Promise<Buffer> {
    const parts: Buffer[] = [frame.subarray(0, 14)];
    let at = 14;
    for (let left = frame[13] - 1; left > 0; left--) {
      const node = frame.subarray(at, at + 4);
      const hostEnd = at + 5 + frame[at + 4] - 1;
      const host = frame.toString('utf8', at + 5, hostEnd);
      const port = frame.readInt32BE(hostEnd);
      const rackBytes = Math.max(0, frame[hostEnd + 4] - 1);
      const end = hostEnd + 5 + rackBytes + 1;
      parts.push(
        node,
        Buffer.from([10]),
        Buffer.from('127.0.0.1'),
        int32(await this.#proxy.portFor(`${host}:${port}`)),
      );
      parts.push(frame.subarray(hostEnd + 4, end));
      at = end;
    }
    parts.push(frame.subarray(at));
    return resized(Buffer.concat(parts));
  }

  /** FindCoordinator v2: size, correlation, throttle, error, message, node, host, port. */
  async #coordinator(frame: Buffer): Promise<Buffer> {
    if (frame.readInt16BE(12) !== 0) return frame;
    const nodeAt = 16 + Math.max(0, frame.readInt16BE(14));
    const hostBytes = frame.readInt16BE(nodeAt + 4);
    const host = frame.toString('utf8', nodeAt + 6, nodeAt + 6 + hostBytes);
    const port = frame.readInt32BE(nodeAt + 6 + hostBytes);
    const head = frame.subarray(0, nodeAt + 4);
    const size = Buffer.from([0, 9]);
    return resized(
      Buffer.concat([head, size, Buffer.from('127.0.0.1'), int32(await this.#proxy.portFor(`${host}:${port}`))]),
    );
  }
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function resized(frame: Buffer): Buffer {
  frame.writeInt32BE(frame.length - 4, 0);
  return frame;
}

/** Calls with every complete frame, size included. */
function frames(socket: Socket, take: (frame: Buffer) => void): void {
  let held: Buffer[] = [];
  let heldBytes = 0;
  socket.on('data', (chunk: Buffer) => {
    held.push(chunk);
    heldBytes += chunk.length;
    for (;;) {
      if (heldBytes < 4) return;
      if (held[0].length < 4) held = [Buffer.concat(held)];
      const size = 4 + held[0].readInt32BE(0);
      if (heldBytes < size) return;
      const bytes = held.length === 1 ? held[0] : Buffer.concat(held);
      take(Buffer.from(bytes.subarray(0, size)));
      held = size === bytes.length ? [] : [bytes.subarray(size)];
      heldBytes -= size;
    }
  });
}
