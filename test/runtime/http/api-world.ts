// Owns asking the admin API over a hand-made port, without a socket, and looking at the shape of what it refuses.

import { expect } from 'vitest';
import { AdminServer, type AdminServerOptions } from '#runtime/http/admin-server.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { ERROR_CODES } from '#runtime/std/errors.ts';
import { type Logger, silentLogger } from '#runtime/std/logger.ts';
import { HandMadePort } from './hand-made-port.ts';

export const LOCAL: Readonly<Record<string, string>> = { host: '127.0.0.1:8081' };

export class ApiWorld {
  readonly port = new HandMadePort();
  /** Errors that went to the log. */
  readonly logged: object[] = [];

  serverOf(options: Partial<AdminServerOptions> = {}): AdminServer {
    const logger: Logger = { ...silentLogger, error: (fields, message) => this.logged.push({ ...fields, message }) };
    const defaults = { version: '0.1.0', tls: null, clock: systemClock, hosts: [], token: null };
    return new AdminServer({ port: this.port, logger, ...defaults, ...options });
  }

  async get(url: string, headers = LOCAL, server = this.serverOf()) {
    const { body, headers: answered, statusCode } = await server.inject({ method: 'GET', url, headers });
    return { status: statusCode, body, headers: answered, json: () => JSON.parse(body) };
  }

  /** Sends a change; a body is sent as JSON. */
  async change(
    method: 'PATCH' | 'POST' | 'DELETE',
    url: string,
    body?: unknown,
    headers = LOCAL,
    server = this.serverOf(),
  ) {
    const json = { 'content-type': 'application/json' };
    const payload = body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) };
    const sent = { method, url, headers: { ...(body !== undefined && json), ...headers }, ...payload };
    const { body: text, headers: answered, statusCode } = await server.inject(sent);
    return { status: statusCode, body: text, headers: answered, json: () => JSON.parse(text) };
  }

  /** The fault that a request meets, which has a code of the table, a remedy and nothing beside. */
  async faultOf(url: string, headers?: Readonly<Record<string, string>>, server?: AdminServer) {
    const answer = await this.get(url, headers, server);
    const { error, ...rest } = answer.json();
    expect(rest).toEqual({});
    expect(Object.keys(error)).toEqual(['code', 'message', 'remedy']);
    expect(ERROR_CODES).toHaveProperty(error.code);
    expect(error.remedy.length).toBeGreaterThan(3);
    return { status: answer.status, ...error };
  }
}
