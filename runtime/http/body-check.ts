// Owns reading what a change says: JSON that keeps to a schema of the document. All faults are told at once. Knows the
// part of JSON Schema that bodies are written with.

import { show } from '#runtime/http/parameters.ts';
import type { Schema } from '#runtime/http/schema.ts';
import { StreamError } from '#runtime/std/errors.ts';
import { nearestName } from '#runtime/std/nearest-name.ts';

interface BodyFault {
  readonly message: string;
  readonly remedy: string;
}

const SHOWN_MAX = 60;

/** Error: request-invalid. */
export function readJson(text: string): unknown {
  if (text.trim() === '') return {};
  try {
    return JSON.parse(text);
  } catch (cause) {
    const message = `the body is no JSON: ${(cause as Error).message}`;
    throw new StreamError('request-invalid', message.slice(0, 300), 'send a JSON object', { cause });
  }
}

/** The body, as `schema` has it. Error: request-invalid. */
export function checkBody(body: unknown, schema: Schema): Readonly<Record<string, unknown>> {
  const faults: BodyFault[] = [];
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    faults.push({ message: `it is ${shown(body)}`, remedy: 'send a JSON object' });
  } else {
    for (const [name, value] of Object.entries(body)) checkField(name, value, schema, faults);
    const missing = (schema.required ?? []).filter((name) => !Object.hasOwn(body, name));
    for (const name of missing) faults.push({ message: `it has no ${name}`, remedy: `give ${name}` });
    if (Object.keys(body).length === 0 && missing.length === 0) {
      const names = Object.keys(schema.properties ?? {}).join(', ');
      faults.push({ message: 'it says nothing', remedy: `known are: ${names}` });
    }
  }
  if (faults.length === 0) return body as Readonly<Record<string, unknown>>;
  throw new StreamError(
    'request-invalid',
    `the body has ${faults.length === 1 ? '1 fault' : `${faults.length} faults`}: ${faults.map(({ message }) => message).join('; ')}`,
    [...new Set(faults.map(({ remedy }) => remedy))].join('; '),
  );
}

function checkField(name: string, value: unknown, { properties = {} }: Schema, faults: BodyFault[]): void {
  const known = Object.hasOwn(properties, name) ? properties[name] : undefined;
  if (known === undefined) {
    const near = nearestName(name.slice(0, SHOWN_MAX), Object.keys(properties));
    const remedy = near === null ? `known are: ${Object.keys(properties).join(', ')}` : `did you mean '${near}'?`;
    faults.push({ message: `${show(name)} is nothing that can be changed`, remedy });
    return;
  }
  const remedy = remedyOf(name, value, known);
  if (remedy !== null) faults.push({ message: `${name} ${shown(value)} is not possible`, remedy });
}

/** What to give instead; null when it is possible. */
function remedyOf(name: string, value: unknown, schema: Schema): string | null {
  if (schema.enum !== undefined) {
    return schema.enum.some((one) => one === value) ? null : `give ${name} as one of ${schema.enum.join(', ')}`;
  }
  if (schema.type === 'object') {
    const possible = typeof value === 'object' && value !== null && !Array.isArray(value);
    return possible ? null : `give ${name} as an object`;
  }
  if (schema.type === 'boolean') return typeof value === 'boolean' ? null : `give ${name} as true or false`;
  if (schema.type === 'integer') {
    const { minimum = 0, maximum = Number.MAX_SAFE_INTEGER } = schema;
    const possible = Number.isInteger(value) && (value as number) >= minimum && (value as number) <= maximum;
    return possible ? null : `give ${name} as a whole number from ${minimum} to ${maximum}`;
  }
  return typeof value === 'string' ? null : `give ${name} as text`;
}

function shown(value: unknown): string {
  return show(typeof value === 'string' ? value : (JSON.stringify(value) ?? 'undefined'));
}
