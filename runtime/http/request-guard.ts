// Owns who may ask: whoever names a host that this process is known under (a page of another site that had its name
// changed to our address does not) and, where a token is set, has it; and that changes are not made by pages of others. Pure.

import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { show } from '#runtime/http/parameters.ts';
import { StreamError } from '#runtime/std/errors.ts';

export interface GuardOptions {
  /** Names beside those of the loopback, without ports. */
  readonly hosts: readonly string[];
  /** Null: nobody needs one. */
  readonly token: string | null;
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** Error: request-misdirected. */
export function checkHost(header: string | undefined, { hosts }: GuardOptions): void {
  // Whatever the port: it may have been forwarded.
  const name = header?.toLowerCase().replace(/:\d{1,5}$/, '');
  if (name !== undefined && (LOOPBACK.test(name) || hosts.includes(name))) return;
  const what = header === undefined ? 'the request names no host' : `the request is meant for host ${show(header)}`;
  const remedy = 'ask http://127.0.0.1 or http://localhost, or name the host in the configuration: http.advertise';
  throw new StreamError('request-misdirected', what, remedy);
}

/** Error: request-unauthorized. */
export function checkToken(header: string | undefined, { token }: GuardOptions): void {
  if (token === null) return;
  const given = /^Bearer +(\S+) *$/i.exec(header ?? '')?.[1];
  if (given !== undefined && timingSafeEqual(digest(given), digest(token))) return;
  const message = header === undefined ? 'the request carries no token' : 'the request carries another token';
  const remedy = 'send the header `authorization: Bearer TOKEN` with the MILLRACE_TOKEN of the process';
  throw new StreamError('request-unauthorized', message, remedy);
}

/**
 * Pages of other sites cannot change anything: a browser says whose page it is. Who sends neither header is no browser.
 * Error: request-misdirected.
 */
export function checkOrigin(headers: IncomingHttpHeaders, { hosts }: GuardOptions): void {
  const { host, origin } = headers;
  const site = headers['sec-fetch-site'];
  const foreign = site === 'cross-site' || site === 'same-site';
  if (!foreign && (origin === undefined || isOwn(origin, host, hosts))) return;
  const whose = typeof origin === 'string' ? ` (${show(origin)})` : '';
  const remedy = 'send it from a page of this process, or from a program';
  throw new StreamError('request-misdirected', `a page of another site${whose} asks for a change`, remedy);
}

function isOwn(origin: string, host: string | undefined, hosts: readonly string[]): boolean {
  if (!URL.canParse(origin)) return false;
  const url = new URL(origin);
  return url.host === host?.toLowerCase() || hosts.includes(url.hostname);
}

/** Forms of other sites cannot send JSON. Error: media-type-unknown. */
export function checkMediaType(header: string | undefined): void {
  if (/^application\/json *(;|$)/i.test(header ?? '')) return;
  const what = header === undefined ? 'does not say what its body is' : `has a body of type ${show(header)}`;
  throw new StreamError(
    'media-type-unknown',
    `the change ${what}`,
    'send JSON with the header `content-type: application/json`',
  );
}

/** Of one length, as the comparison needs them. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
