// Owns the checked configuration of the admin API: where it listens, under which names it is known, TLS and token.
// Invariant: an address that other machines reach comes only with TLS and a token.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { Fault } from '#jobs/faults.ts';
import { isPlainObject, OptionReader, show } from '#jobs/option-reader.ts';

export interface HttpConfiguration {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** `host`, `host:port` or an address; null: only loopback names. */
  readonly advertise: string | null;
  /** Absolute paths of PEM files; null: plain HTTP. */
  readonly tls: { readonly certificate: string; readonly key: string } | null;
  /** Of the environment; null: nobody needs one. */
  readonly token: string | null;
}

export interface HttpEdges {
  /** Relative paths of the file begin here. */
  readonly baseDirectory: string;
  /** What the command line or the environment says of the port. */
  readonly port: number | undefined;
  /** MILLRACE_TOKEN. */
  readonly token: string | undefined;
}

const OPTIONS = ['host', 'port', 'advertise', 'tls'];
const PORT = { min: 0, max: 65_535 };
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/;
const HOST = /^([A-Za-z0-9][A-Za-z0-9.-]*|\[?[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\]?)$/;
const ADVERTISED = /^(?:https?:\/\/)?([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?\/?$/;
const TOKEN = /^[\x21-\x7e]{16,256}$/;

/** Null when there is to be no admin API. */
export function resolveHttp(given: unknown, edges: HttpEdges, faults: Fault[]): HttpConfiguration | null {
  if (given === false) return null;
  const reader = new OptionReader(faults, 'http', given, OPTIONS);
  const host = reader.text('host', '127.0.0.1');
  const port = reader.integer('port', 8081, PORT);
  const advertise = reader.text('advertise', null);
  if (advertise !== null && !ADVERTISED.test(advertise)) {
    reader.fault('advertise', `${show(advertise)} is no address`, "write it as 'https://host:port'");
  }
  const tls = resolveTls(reader.raw('tls'), edges, faults);
  const token = edges.token || null;
  if (token !== null && !TOKEN.test(token)) {
    const remedy = 'set 16 to 256 visible ASCII characters, for instance what `openssl rand -hex 32` prints';
    faults.push({ path: 'MILLRACE_TOKEN', message: 'is no token that can be sent', remedy });
  }
  if (!HOST.test(host))
    reader.fault('host', `${show(host)} is no host`, "use '127.0.0.1', or an address of this machine");
  else if (!LOOPBACK.test(host)) checkOpen(reader, host, tls !== null, token !== null);
  return { host, port: edges.port ?? port, advertise, tls, token };
}

/** Names that requests may be meant for, beside those of the loopback; in lower case, as the header Host has them. */
export function hostNames({ advertise, host }: HttpConfiguration): string[] {
  const names = [ADVERTISED.exec(advertise ?? '')?.[1]];
  if (!/^(0\.0\.0\.0|\[?::\]?)$/.test(host))
    names.push(host.includes(':') && !host.startsWith('[') ? `[${host}]` : host);
  return names.flatMap((name) => (name === undefined ? [] : [name.toLowerCase()]));
}

/** Reads certificate and key. What is wrong with them is added to `faults`. */
export function readTls(tls: NonNullable<HttpConfiguration['tls']>, faults: Fault[]) {
  const certificate = readPem('http.tls.certificate', tls.certificate, faults);
  const key = readPem('http.tls.key', tls.key, faults);
  if (certificate === null || key === null) return null;
  try {
    createSecureContext({ cert: certificate, key });
    return { certificate, key };
  } catch (error) {
    const message = `certificate and key do not go together: ${(error as Error).message}`;
    faults.push({ path: 'http.tls', message, remedy: 'name a PEM certificate chain, and the key of its first one' });
    return null;
  }
}

function resolveTls(given: unknown, { baseDirectory }: HttpEdges, faults: Fault[]): HttpConfiguration['tls'] {
  if (given === undefined) return null;
  const inner = new OptionReader(faults, 'http.tls', given, ['certificate', 'key']);
  if (!isPlainObject(given)) return null;
  inner.required('certificate', "name the PEM file of the certificate chain: certificate: './tls/chain.pem'");
  inner.required('key', "name the PEM file of the key: key: './tls/key.pem'");
  const path = (name: string) => resolve(baseDirectory, inner.text(name, '.'));
  return { certificate: path('certificate'), key: path('key') };
}

function checkOpen(reader: OptionReader, host: string, hasTls: boolean, hasToken: boolean): void {
  if (hasTls && hasToken) return;
  const lacking = [...(hasTls ? [] : ['http.tls: { certificate, key }']), ...(hasToken ? [] : ['MILLRACE_TOKEN'])];
  const message = `'${host}' can be reached from other machines, and ${lacking.join(' and ')} ${lacking.length === 1 ? 'is' : 'are'} missing`;
  reader.fault('host', message, "use '127.0.0.1', or give TLS in the configuration and a token in the environment");
}

function readPem(path: string, file: string, faults: Fault[]): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const message = `${file} cannot be read: ${(error as Error).message}`;
    faults.push({ path, message, remedy: 'correct the path, or let this user read the file' });
    return null;
  }
}
