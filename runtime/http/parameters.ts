// Owns what a request may say in its path and query: which parameters there are, and reading them. All faults of a
// query are told at once; nothing that was said is ignored.

import type { Schema } from '#runtime/http/schema.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { nearestName } from '#runtime/std/nearest-name.ts';

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly description: string;
  /** Text, a whole number with bounds, or true and false. */
  readonly schema: Schema;
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

const SHOWN_MAX = 60;

/** The part of a query string (without `?`) that `parameters` know. Error: request-invalid. */
export function readQuery(queryString: string, parameters: readonly Parameter[]): Query {
  const known = parameters.filter((parameter) => parameter.in === 'query');
  const faults: { readonly message: string; readonly remedy: string }[] = [];
  const query: Record<string, string | number | boolean> = Object.create(null);
  for (const pair of queryString.split('&')) {
    if (pair === '') continue;
    const [rawName, ...rest] = pair.split('=');
    const name = decode(rawName);
    const value = decode(rest.join('='));
    if (name === null || value === null) {
      const remedy = 'encode % as %25, and other characters as UTF-8';
      faults.push({ message: `${show(pair)} is not encoded as a query is`, remedy });
      continue;
    }
    const parameter = known.find((candidate) => candidate.name === name);
    if (parameter === undefined) faults.push(unknown(name, known));
    else if (query[name] !== undefined)
      faults.push({ message: `${name} is given more than once`, remedy: `give ${name} once` });
    else {
      const read = readValue(parameter, value);
      if (typeof read === 'object') faults.push(read);
      else query[name] = read;
    }
  }
  if (faults.length === 0) return query;
  const unique = new Set(faults.map(({ remedy }) => remedy));
  throw new StreamError(
    'request-invalid',
    `the query has ${faults.length === 1 ? '1 fault' : `${faults.length} faults`}: ${faults.map(({ message }) => message).join('; ')}`,
    [...unique].join('; '),
  );
}

/** What people gave, for messages: short, and on one line. */
export function show(value: string): string {
  const shown = value.length > SHOWN_MAX ? `${value.slice(0, SHOWN_MAX)}…` : value;
  return `'${shown.replaceAll(/\p{Cc}/gu, '�')}'`;
}

function readValue({ name, schema }: Parameter, value: string) {
  if (schema.type === 'boolean') {
    if (value === 'true' || value === 'false') return value === 'true';
    return { message: `${name} ${show(value)} is not possible`, remedy: `give ${name} as true or false` };
  }
  if (schema.type !== 'integer') return value;
  const { minimum = 0, maximum = Number.MAX_SAFE_INTEGER } = schema;
  const read = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (read >= minimum && read <= maximum) return read;
  const remedy = `give ${name} as a whole number from ${minimum} to ${maximum}`;
  return { message: `${name} ${show(value)} is not possible`, remedy };
}

function unknown(name: string, known: readonly Parameter[]) {
  const names = known.map((parameter) => parameter.name);
  const near = nearestName(name.slice(0, SHOWN_MAX), names);
  const message = `${show(name)} is no parameter here`;
  if (near !== null) return { message, remedy: `did you mean '${near}'?` };
  return { message, remedy: names.length === 0 ? 'leave the query out' : `known are: ${names.join(', ')}` };
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return null;
  }
}
