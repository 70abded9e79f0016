// Owns the admin API as a server: routes, guard, bounds in time and size, the socket and its orderly end. The door of
// fastify. Decides nothing about jobs; every refusal, whoever makes it, has one shape.

import type { Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify, type InjectOptions } from 'fastify';
import { AskGate } from '#runtime/http/ask-gate.ts';
import { checkBody, readJson } from '#runtime/http/body-check.ts';
import type { AdminPort } from '#runtime/http/contract.ts';
import { jsonText } from '#runtime/http/json-text.ts';
import { openApiDocument } from '#runtime/http/openapi.ts';
import { readQuery, show } from '#runtime/http/parameters.ts';
import { isPeerRequest, type PeerDoor, peerAnswers } from '#runtime/http/peer-door.ts';
import { PEER_BYTES_MAX, PEER_PATH, PEER_TYPE } from '#runtime/http/peer-words.ts';
import { refusalOf } from '#runtime/http/refusal.ts';
import { checkHost, checkMediaType, checkOrigin, checkToken, type GuardOptions } from '#runtime/http/request-guard.ts';
import type { Answer, Asked, Route } from '#runtime/http/route.ts';
import { ROUTES } from '#runtime/http/routes.ts';
import {
  foreignFault,
  methodsOf,
  notListening,
  type PathRoute,
  pathOf,
  STATUS_TEXTS,
  unreadable,
  unreadRefusal,
  unrouted,
} from '#runtime/http/server-faults.ts';
import { SCHEMAS } from '#runtime/http/view-schemas.ts';
import { atMost } from '#runtime/std/at-most.ts';
import type { Clock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';

export interface AdminServerOptions extends GuardOptions {
  readonly port: AdminPort;
  /** Of Millrace. */
  readonly version: string;
  /** Certificate chain and key as PEM; null: plain HTTP. */
  readonly tls: { readonly certificate: string; readonly key: string } | null;
  /** How other processes are answered; null or absent: there are none. */
  readonly peers?: PeerDoor | null;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits?: Partial<AdminLimits>;
}

export interface AdminLimits {
  /** Connections at once; more are closed. @default 1,000 */
  readonly connectionsMax: number;
  /** Requests being answered at once. @default 200 */
  readonly questionsMax: number;
  /** Of these, requests whose answers may be large. @default 16 */
  readonly heavyQuestionsMax: number;
  /** @default 16 KiB */
  readonly headersBytesMax: number;
  /** @default 64 KiB */
  readonly bodyBytesMax: number;
  /** Until the headers are read. @default 5 s */
  readonly headersMs: number;
  /** Until the whole request is read. @default 10 s */
  readonly requestMs: number;
  /** Until the process has answered, where the route says nothing else. @default 10 s */
  readonly answerMs: number;
  /** From the request to the last byte of its answer. @default 30 s */
  readonly deliveryMs: number;
}

const LIMITS: AdminLimits = {
  connectionsMax: 1_000,
  questionsMax: 200,
  heavyQuestionsMax: 16,
  headersBytesMax: 16 * 1024,
  bodyBytesMax: 64 * 1024,
  headersMs: 5_000,
  requestMs: 10_000,
  answerMs: 10_000,
  deliveryMs: 30_000,
};

const PARAMETER_LENGTH_MAX = 1_000;
const KEEP_ALIVE_MS = 5_000;
/** How often connections are looked at for these bounds. */
const LOOK_MS = 1_000;
/** How long the end waits for answers that are under way. */
const CLOSE_PATIENCE_MS = 1_000;
const OPENAPI_PATH = '/openapi.json';
const PATHS: readonly PathRoute[] = [...ROUTES, { method: 'GET', path: OPENAPI_PATH }];
/** Those that a page of another site could send without being asked for its origin, if it were not for their type. */
const TYPED_METHODS: readonly string[] = ['POST', 'PATCH'];
const HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
};

/** What a request without a socket was answered. */
export interface InjectedAnswer {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

export class AdminServer {
  readonly #options: AdminServerOptions;
  readonly #limits: AdminLimits;
  readonly #app: FastifyInstance;
  readonly #gates: { readonly light: AskGate; readonly heavy: AskGate };
  #url = '';

  constructor(options: AdminServerOptions) {
    this.#options = options;
    this.#limits = { ...LIMITS, ...options.limits };
    const { answerMs, heavyQuestionsMax, questionsMax } = this.#limits;
    const gate = (max: number) => new AskGate({ clock: options.clock, questionsMax: max, answerMs });
    this.#gates = { light: gate(questionsMax), heavy: gate(heavyQuestionsMax) };
    this.#app = this.#build();
  }

  /** Takes requests at `host` and `port`; 0 takes a free one. Error: address-unavailable. */
  async listen(host: string, port: number): Promise<void> {
    this.#app.server.maxConnections = this.#limits.connectionsMax;
    try {
      await this.#app.listen({ host: listenable(host), port });
    } catch (cause) {
      throw notListening(host, port, cause as NodeJS.ErrnoException);
    }
    const name = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
    const { port: taken } = this.#app.server.address() as AddressInfo;
    this.#url = `${this.#options.tls === null ? 'http' : 'https'}://${name}:${taken}`;
  }

  /** Where it listens, or did: `http://127.0.0.1:8081`. */
  get url(): string {
    return this.#url;
  }

  /** Answers a request without a socket. */
  async inject(request: InjectOptions): Promise<InjectedAnswer> {
    return this.#app.inject(request);
  }

  /** Ends within a second or so, whatever clients do. */
  async close(): Promise<void> {
    await atMost(this.#options.clock, CLOSE_PATIENCE_MS, this.#app.close());
    this.#app.server.closeAllConnections();
  }

  #build(): FastifyInstance {
    const { bodyBytesMax, headersBytesMax, headersMs, requestMs, deliveryMs } = this.#limits;
    const { tls } = this.#options;
    const server = {
      maxHeaderSize: headersBytesMax,
      headersTimeout: headersMs,
      connectionsCheckingInterval: LOOK_MS,
      // The guard says so in our words.
      requireHostHeader: false,
    };
    const options = {
      bodyLimit: bodyBytesMax,
      requestTimeout: requestMs,
      connectionTimeout: deliveryMs,
      keepAliveTimeout: KEEP_ALIVE_MS,
      return503OnClosing: false,
      routerOptions: {
        ignoreTrailingSlash: true,
        maxParamLength: PARAMETER_LENGTH_MAX,
        // Queries are read by readQuery, which tells all their faults.
        querystringParser: () => ({}),
      },
      frameworkErrors: (error: Error, request: FastifyRequest, reply: FastifyReply) =>
        this.#refuse(request, reply, unreadable(request.raw.url ?? '', error)),
      clientErrorHandler: (error: NodeJS.ErrnoException, socket: Socket) => this.#refuseUnread(error, socket),
    };
    const app: FastifyInstance =
      tls === null
        ? fastify({ ...options, http: server })
        : (fastify({
            ...options,
            https: { ...server, cert: tls.certificate, key: tls.key, handshakeTimeout: headersMs },
          }) as unknown as FastifyInstance<Server>);
    app.removeAllContentTypeParsers();
    app.addContentTypeParser(
      'application/json',
      { parseAs: 'string' },
      async (_request: FastifyRequest, text: string) => readJson(text),
    );
    app.addHook('onRequest', async (request, reply) => this.#receive(request, reply));
    app.setErrorHandler((error, request, reply) => this.#refuse(request, reply, error));
    const { peers = null } = this.#options;
    if (peers !== null) this.#openPeerDoor(app, peers);
    const document = openApiDocument(ROUTES, this.#options.version);
    const routes = ROUTES.map((route) => this.#route(route));
    app.get(OPENAPI_PATH, (request, reply) => this.#answer(request, reply, { body: document }));
    for (const { bodyLimit, handle, method, path } of routes) {
      app.route({ method, url: path, handler: handle, bodyLimit });
    }
    return app;
  }

  #openPeerDoor(app: FastifyInstance, door: PeerDoor): void {
    const bodyLimit = PEER_BYTES_MAX;
    const answer = peerAnswers(door);
    app.addContentTypeParser(PEER_TYPE, { parseAs: 'buffer', bodyLimit }, async (_: unknown, body: Buffer) => body);
    app.post(PEER_PATH, { bodyLimit }, async (request, reply) => {
      const bytes = await answer(request.body as Buffer);
      return bytes === null ? reply.code(503).send() : reply.header('content-type', PEER_TYPE).send(bytes);
    });
  }

  #route(route: Route) {
    const gate = route.heavy ? this.#gates.heavy : this.#gates.light;
    const handle = async (request: FastifyRequest, reply: FastifyReply) => {
      const query = readQuery(queryOf(request), route.parameters);
      const path = request.params as Readonly<Record<string, string>>;
      const body = route.body === undefined ? null : checkBody(request.body, SCHEMAS[route.body]);
      const asked: Asked = { path, query, headers: headersOf(request, route), body };
      this.#answer(request, reply, await gate.ask(() => route.ask(this.#options.port, asked), route.answerMs));
      return reply;
    };
    const { bodyBytesMax = this.#limits.bodyBytesMax, method, path } = route;
    return { method, path: path.replaceAll(/\{(\w+)\}/g, ':$1'), handle, bodyLimit: bodyBytesMax };
  }

  // Before anything of a body is read, and for paths that there are not, too.
  #receive(request: FastifyRequest, reply: FastifyReply): void {
    this.#limitDelivery(request, reply);
    const { headers, method, rawHeaders, url = '' } = request.raw;
    if (!url.startsWith('/') || rawHeaders.filter((name, at) => at % 2 === 0 && /^host$/i.test(name)).length > 1) {
      const message = 'the request names its host in its address, or more than one';
      throw new StreamError('request-invalid', message, 'ask for a path that begins with /, with one header Host');
    }
    const path = pathOf(url);
    if (isPeerRequest(this.#options.peers ?? null, method ?? '', path, headers.authorization ?? '')) return;
    if (path === PEER_PATH) throw unrouted(method ?? '', path, PATHS);
    const open = ROUTES.some((route) => route.open && route.path === path);
    if (!open) {
      checkHost(headers.host, this.#options);
      checkToken(headers.authorization, this.#options);
    }
    if (method !== 'GET' && method !== 'HEAD') checkOrigin(headers, this.#options);
    const length = Number(headers['content-length'] ?? 0);
    const longer = ROUTES.find((route) => route.method === method && route.path === path)?.bodyBytesMax;
    const bytesMax = longer ?? this.#limits.bodyBytesMax;
    if (length > bytesMax || headers['transfer-encoding'] !== undefined) {
      const message = 'the request has a body that is longer than any the API reads, or of no known length';
      const remedy = `send ${bytesMax} bytes at most, with the header content-length`;
      throw new StreamError('request-too-large', message, remedy);
    }
    if (!request.is404) {
      if (TYPED_METHODS.includes(method ?? '')) checkMediaType(headers['content-type']);
      return;
    }
    const fault = unrouted(method ?? '', path, PATHS);
    if (fault.code === 'method-unknown') reply.header('allow', methodsOf(path, PATHS).join(', '));
    throw fault;
  }

  // Whoever reads an answer slowly, or never, must not keep it in memory.
  #limitDelivery(request: FastifyRequest, reply: FastifyReply): void {
    const done = new AbortController();
    reply.raw.once('close', () => done.abort());
    reply.raw.once('finish', () => done.abort());
    this.#options.clock.sleep(this.#limits.deliveryMs, done.signal).then(() => {
      if (!done.signal.aborted) request.raw.socket?.destroy();
    });
  }

  #answer(_request: FastifyRequest, reply: FastifyReply, { body, headers, status }: Answer): void {
    const text = typeof body === 'string' ? body : jsonText(body);
    reply
      .code(status ?? 200)
      .headers({ 'content-type': 'application/json; charset=utf-8', ...HEADERS, ...headers })
      .send(text);
  }

  #refuse(request: FastifyRequest, reply: FastifyReply, error: unknown): void {
    const fault = error instanceof StreamError ? error : foreignFault(error);
    const refusal = refusalOf(fault ?? error);
    if (refusal.status === 500) this.#report(request, error);
    const { headers } = request.raw;
    // What is left of a body is not worth reading.
    const hasBody = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
    if (hasBody) reply.header('connection', 'close');
    this.#answer(request, reply, refusal);
  }

  #report(request: FastifyRequest, error: unknown): void {
    const path = show(pathOf(request.raw.url ?? ''));
    const { message, stack } = error instanceof Error ? error : new Error(String(error));
    const { code, remedy } = refusalOf(error).body.error;
    this.#options.logger.error({ code, remedy, stack }, `a request for ${path} met a fault: ${message}`);
  }

  // What no request could be made of: there is only the socket.
  #refuseUnread(error: NodeJS.ErrnoException, socket: Socket): void {
    if (!socket.writable || /^(ECONNRESET|ERR_SSL|ERR_TLS)/.test(error.code ?? '')) {
      socket.destroy();
      return;
    }
    const { body, status } = unreadRefusal(error, this.#limits);
    const text = jsonText(body);
    const head = [
      `HTTP/1.1 ${status} ${STATUS_TEXTS[status]}`,
      'content-type: application/json; charset=utf-8',
      `content-length: ${Buffer.byteLength(text)}`,
      'connection: close',
    ];
    socket.end(`${head.join('\r\n')}\r\n\r\n${text}`, () => socket.destroy());
  }
}

function headersOf({ headers }: FastifyRequest, { parameters }: Route): Asked['headers'] {
  const names = parameters.flatMap((parameter) => (parameter.in === 'header' ? [parameter.name] : []));
  return Object.fromEntries(names.map((name) => [name, [headers[name]].flat().join(',') || undefined]));
}

function queryOf(request: FastifyRequest): string {
  const url = request.raw.url ?? '';
  const at = url.indexOf('?');
  return at < 0 ? '' : url.slice(at + 1);
}

/** One address: 'localhost' may be two. */
function listenable(host: string): string {
  return host === 'localhost' ? '127.0.0.1' : host.replace(/^\[(.*)\]$/, '$1');
}
