// Owns the wire of the tests' own Kafka client: values as Kafka writes them, answers as it gives them, one connection with
// one request at a time, and what the cluster says of itself. Shares no code with the product.

import { connect, type Socket } from 'node:net';

export class RawKafkaError extends Error {
  readonly code: number;

  constructor(what: string, code: number) {
    super(`${what}: Kafka error ${code}`);
    this.code = code;
  }
}

export const int8 = (value: number) => Buffer.from([value & 255]);
export const int16 = (value: number) => Buffer.from([(value >> 8) & 255, value & 255]);
export const int32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
export const int64 = (value: bigint) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(value);
  return bytes;
};
export const text = (value: string | null) =>
  value === null ? int16(-1) : Buffer.concat([int16(Buffer.byteLength(value)), Buffer.from(value)]);
export const body = (...parts: Buffer[]) => Buffer.concat(parts);

export class Answer {
  readonly bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  int8 = () => this.bytes.readInt8((this.at += 1) - 1);
  int16 = () => this.bytes.readInt16BE((this.at += 2) - 2);
  int32 = () => this.bytes.readInt32BE((this.at += 4) - 4);
  int64 = () => this.bytes.readBigInt64BE((this.at += 8) - 8);

  text(): string | null {
    const size = this.int16();
    if (size < 0) return null;
    this.at += size;
    return this.bytes.toString('utf8', this.at - size, this.at);
  }
}

/** One request at a time to one broker. */
export class RawConnection {
  readonly #address: string;
  readonly #socket: Socket;
  #correlation = 0;
  #held: Buffer = Buffer.alloc(0);
  #waiting: { resolve: (answer: Buffer) => void; reject: (error: Error) => void } | null = null;
  #fault: Error | null = null;

  constructor(address: string) {
    this.#address = address;
    const [host, port] = address.split(':');
    this.#socket = connect({ host, port: Number(port), noDelay: true });
    this.#socket.on('data', (chunk: Buffer) => {
      this.#held = Buffer.concat([this.#held, chunk]);
      while (this.#held.length >= 4 && this.#held.length >= 4 + this.#held.readInt32BE(0)) {
        const size = this.#held.readInt32BE(0);
        this.#waiting?.resolve(Buffer.from(this.#held.subarray(8, 4 + size)));
        this.#held = this.#held.subarray(4 + size);
      }
    });
    this.#socket.on('error', (error) => this.#ended(error));
    this.#socket.on('close', () => this.#ended(new Error(`${address} closed the connection`)));
  }

  /** A connection that gave no answer within `timeoutMs` is closed. */
  async request(apiKey: number, version: number, payload: Buffer, timeoutMs?: number): Promise<Answer> {
    if (this.#fault !== null) throw this.#fault;
    const head = body(int16(apiKey), int16(version), int32(++this.#correlation), text('raw-test-client'));
    const answer = new Promise<Buffer>((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
    this.#socket.write(body(int32(head.length + payload.length), head, payload));
    const late = new Error(`${this.#address} did not answer for ${timeoutMs} ms`);
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => this.#socket.destroy(late), timeoutMs);
    try {
      return new Answer(await answer);
    } finally {
      clearTimeout(timer);
      this.#waiting = null;
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #ended(fault: Error): void {
    this.#fault ??= fault;
    this.#waiting?.reject(this.#fault);
  }
}

export interface RawPartition {
  readonly index: number;
  /** -1: none now. */
  readonly leader: number;
  readonly replicas: readonly number[];
  readonly inSync: readonly number[];
}

export interface RawCluster {
  /** `host:port` by node id, of those that live. */
  readonly brokers: ReadonlyMap<number, string>;
  readonly controller: number;
  /** Partitions by topic, in their order; a topic that is not there has none. */
  readonly topics: ReadonlyMap<string, readonly RawPartition[]>;
}

/** Metadata v1 as one broker knows it; `topics` null: all. */
export async function describeCluster(address: string, topics: readonly string[] | null): Promise<RawCluster> {
  const connection = new RawConnection(address);
  try {
    const names = topics === null ? [int32(-1)] : [int32(topics.length), ...topics.map(text)];
    return readCluster(await connection.request(3, 1, body(...names), 10_000));
  } finally {
    connection.close();
  }
}

function readCluster(answer: Answer): RawCluster {
  const brokers = new Map<number, string>();
  for (let left = answer.int32(); left > 0; left--) {
    const node = answer.int32();
    brokers.set(node, `${answer.text()}:${answer.int32()}`);
    answer.text();
  }
  const controller = answer.int32();
  const nodes = () => Array.from({ length: answer.int32() }, () => answer.int32());
  const topics = new Map<string, readonly RawPartition[]>();
  for (let left = answer.int32(); left > 0; left--) {
    answer.int16();
    const name = answer.text() ?? '';
    answer.int8();
    const partitions = Array.from({ length: answer.int32() }, (): RawPartition => {
      answer.int16();
      return { index: answer.int32(), leader: answer.int32(), replicas: nodes(), inSync: nodes() };
    });
    topics.set(
      name,
      partitions.sort((left, right) => left.index - right.index),
    );
  }
  return { brokers, controller, topics };
}
