// Owns the faults that a server finds before a route is asked: what no request could be made of, paths that there are
// not, addresses that cannot be listened on. Pure.

import { show } from '#runtime/http/parameters.ts';
import { type Refusal, refusalOf } from '#runtime/http/refusal.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { nearestName } from '#runtime/std/nearest-name.ts';

export interface PathRoute {
  readonly method: string;
  readonly path: string;
}

interface UnreadLimits {
  readonly headersBytesMax: number;
  readonly requestMs: number;
}

export const STATUS_TEXTS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  413: 'Content Too Large',
  431: 'Request Header Fields Too Large',
};

export function unreadRefusal(error: NodeJS.ErrnoException, limits: UnreadLimits): Pick<Refusal, 'body' | 'status'> {
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    const message = `the request did not arrive within ${limits.requestMs / 1_000}s`;
    return refusalOf(new StreamError('request-timeout', message, 'send it in one go'));
  }
  if (error.code === 'HPE_HEADER_OVERFLOW') {
    const message = `the request has more than ${limits.headersBytesMax} bytes of address and headers`;
    const fault = new StreamError('request-too-large', message, 'ask for less at once, and send fewer headers');
    return { ...refusalOf(fault), status: 431 };
  }
  return refusalOf(new StreamError('request-invalid', 'what was sent is no HTTP request', 'speak HTTP/1.1'));
}

export function unreadable(url: string, error: Error): StreamError | Error {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'FST_ERR_BAD_URL' && code !== 'FST_ERR_MAX_PARAM_LENGTH') return error;
  const message = `the path ${show(pathOf(url))} is not encoded as a path is, or too long`;
  return new StreamError('request-invalid', message, 'encode % as %25, and other characters as UTF-8');
}

/** Faults that fastify finds in a request, in our words; null for a bug. */
export function foreignFault(error: unknown): StreamError | null {
  const { message, statusCode } = error as { message?: string; statusCode?: number };
  if (statusCode === 413) return new StreamError('request-too-large', 'the body is too large', 'send less');
  if (statusCode === undefined || statusCode < 400 || statusCode >= 500) return null;
  return new StreamError('request-invalid', `the request is not understood: ${message}`, 'see /openapi.json');
}

/** Methods that `path` knows; empty: there is nothing at it. */
export function methodsOf(path: string, routes: readonly PathRoute[]): readonly string[] {
  const wanted = path === '/' ? '/' : path.replace(/\/$/, '');
  return routes
    .filter((route) => new RegExp(`^${route.path.replaceAll(/\{\w+\}/g, '[^/]{1,1000}')}$`).test(wanted))
    .flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
}

export function unrouted(method: string, path: string, routes: readonly PathRoute[]): StreamError {
  const methods = methodsOf(path, routes);
  if (methods.length > 0) {
    const remedy = `use ${methods.join(', ').replace(/, (\w+)$/, ' or $1')}`;
    return new StreamError('method-unknown', `${show(path)} does not know ${method}`, remedy);
  }
  const paths = [...new Set(routes.map((route) => route.path))];
  const near = nearestName(path.slice(0, 60), paths);
  const meant = near === null ? '' : `did you mean ${near}? `;
  return new StreamError('path-unknown', `there is nothing at ${show(path)}`, `${meant}there are: ${paths.join(' ')}`);
}

export function pathOf(url: string): string {
  return url.split('?', 1)[0];
}

export function notListening(host: string, port: number, cause: NodeJS.ErrnoException): StreamError {
  const where = `${host}:${port}`;
  const causes: Readonly<Record<string, readonly [string, string]>> = {
    EADDRINUSE: [
      'the port is taken',
      'stop what listens there, or take another port: --port N, MILLRACE_PORT or http.port (0 takes a free one)',
    ],
    EACCES: ['the port is not ours to take', 'take one above 1023: --port N, MILLRACE_PORT or http.port'],
    EADDRNOTAVAIL: ['the address is none of this machine', "correct http.host: '127.0.0.1' always works"],
    ENOTFOUND: ['the host is not known', "correct http.host: '127.0.0.1' always works"],
  };
  const [why, remedy] = causes[cause.code ?? ''] ?? [cause.message, 'correct http.host and http.port'];
  return new StreamError('address-unavailable', `the admin API cannot listen on ${where}: ${why}`, remedy, { cause });
}
