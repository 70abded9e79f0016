// Owns a schema registry for integration tests: Confluent's REST interface as far as reading goes, over HTTP, on a port
// that stays. It may be gone (nobody listens), ill (503) or well.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import avro from 'avsc';

export class SchemaServer {
  /** What is registered, by id. */
  readonly schemas: Map<number, object>;
  /** Requests that came. */
  asked = 0;
  ill = false;
  #server: Server | null = null;
  #port = 0;

  constructor(schemas: Readonly<Record<number, object>>) {
    this.schemas = new Map(Object.entries(schemas).map(([id, schema]) => [Number(id), schema]));
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Listens, each time on the same port. */
  async start(): Promise<void> {
    const server = createServer((request, response) => {
      this.asked++;
      const id = Number(/\/schemas\/ids\/(\d+)$/.exec(request.url ?? '')?.[1]);
      const schema = this.schemas.get(id);
      if (this.ill) response.writeHead(503).end('maintenance');
      else if (schema !== undefined) response.end(JSON.stringify({ schema: JSON.stringify(schema) }));
      else response.writeHead(404).end(JSON.stringify({ error_code: 40403, message: 'Schema not found' }));
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', resolve);
    });
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
  }

  /** Nobody listens any more. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    await new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
  }

  /** A record as producers frame it; `as` where the registry has no such schema. */
  framed(id: number, value: object, as?: object): Buffer {
    const head = Buffer.alloc(5);
    head.writeInt32BE(id, 1);
    const type = avro.Type.forSchema((as ?? this.schemas.get(id)) as avro.Schema);
    return Buffer.concat([head, type.toBuffer(value)]);
  }
}
