// Owns reading an options object that a person wrote: checked values with defaults out, faults aside. Never throws;
// after a fault it hands out the default, so that the rest can be checked too.

import type { Fault } from '#jobs/faults.ts';
import { formatDuration, parseDuration } from '#runtime/std/duration.ts';
import { nearestName } from '#runtime/std/nearest-name.ts';
import { formatSize, parseSize } from '#runtime/std/size.ts';

export const ID_PATTERN = /^[a-z0-9-]{1,64}$/;

const TOPIC_PATTERN = /^[a-zA-Z0-9._-]{1,249}$/;
const DURATION_MAX_MS = 400 * 86_400_000;

export interface Bounds {
  readonly min?: number;
  readonly max?: number;
}

export class OptionReader {
  readonly #faults: Fault[];
  readonly #path: string;
  readonly #options: Readonly<Record<string, unknown>>;

  /** `path` is that of the options object ('' at the top); `known` are the names it may have. */
  constructor(faults: Fault[], path: string, options: unknown, known: readonly string[]) {
    this.#faults = faults;
    this.#path = path;
    this.#options = isPlainObject(options) ? options : {};
    if (options !== undefined && !isPlainObject(options)) {
      this.#fault(path, `${show(options)} is no object of options`, `give an object with any of: ${known.join(', ')}`);
    }
    for (const name of Object.keys(this.#options)) {
      if (!known.includes(name)) this.#unknown(name, known);
    }
  }

  has(name: string): boolean {
    return this.#options[name] !== undefined;
  }

  /** The object itself, for what must be told from a name that was given nothing. */
  all(): Readonly<Record<string, unknown>> {
    return this.#options;
  }

  raw(name: string): unknown {
    return this.#options[name];
  }

  pathOf(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`;
  }

  fault(name: string, message: string, remedy: string): void {
    this.#fault(this.pathOf(name), message, remedy);
  }

  /** Milliseconds of a duration such as '5s'. */
  duration(name: string, fallbackMs: number, bounds: Bounds = {}): number {
    const value = this.#options[name];
    if (value === undefined) return fallbackMs;
    const ms = typeof value === 'string' ? parseDuration(value) : null;
    if (ms === null) {
      this.fault(name, `${show(value)} is no duration`, "write it as '200ms', '5s', '1h30m' or '7d'");
      return fallbackMs;
    }
    const { min = 0, max = DURATION_MAX_MS } = bounds;
    if (ms >= min && ms <= max) return ms;
    this.fault(name, `${value} is out of range`, `choose from ${formatDuration(min)} to ${formatDuration(max)}`);
    return fallbackMs;
  }

  /** Bytes of a size such as '64MiB'. */
  size(name: string, fallbackBytes: number, bounds: Required<Bounds>): number {
    const value = this.#options[name];
    if (value === undefined) return fallbackBytes;
    const bytes = typeof value === 'string' ? parseSize(value) : null;
    if (bytes === null) {
      this.fault(name, `${show(value)} is no size`, "write it as '512KiB' or '64MiB'");
      return fallbackBytes;
    }
    if (bytes >= bounds.min && bytes <= bounds.max) return bytes;
    this.fault(name, `${value} is out of range`, `choose from ${formatSize(bounds.min)} to ${formatSize(bounds.max)}`);
    return fallbackBytes;
  }

  integer<T>(name: string, fallback: T, bounds: Required<Bounds>): number | T {
    const value = this.#options[name];
    if (value === undefined) return fallback;
    if (typeof value === 'number' && Number.isInteger(value) && value >= bounds.min && value <= bounds.max)
      return value;
    this.fault(name, `${show(value)} is not possible`, `give a whole number from ${bounds.min} to ${bounds.max}`);
    return fallback;
  }

  oneOf<const T extends string, F>(name: string, choices: readonly T[], fallback: F): T | F {
    const value = this.#options[name];
    if (value === undefined) return fallback;
    const chosen = choices.find((choice) => choice === value);
    if (chosen !== undefined) return chosen;
    const near = typeof value === 'string' ? nearestName(value, choices) : null;
    const hint = near === null ? '' : `did you mean '${near}'? `;
    this.fault(
      name,
      `${show(value)} is not possible`,
      `${hint}choose one of ${choices.map((c) => `'${c}'`).join(', ')}`,
    );
    return fallback;
  }

  id(name: string, fallback: string): string {
    const value = this.#options[name];
    if (value === undefined) return fallback;
    if (typeof value === 'string' && ID_PATTERN.test(value)) return value;
    this.fault(name, `${show(value)} is no id`, 'use 1 to 64 of a-z, 0-9 and -');
    return fallback;
  }

  topic(name: string, fallback: string): string {
    const value = this.#options[name];
    if (value === undefined) return fallback;
    const fault = topicFault(value);
    if (fault === null) return value as string;
    this.fault(name, fault.message, fault.remedy);
    return fallback;
  }

  text<F>(name: string, fallback: F): string | F {
    const value = this.#options[name];
    if (value === undefined) return fallback;
    if (typeof value === 'string' && value.length > 0) return value;
    this.fault(name, `${show(value)} is no text`, 'give a string that is not empty');
    return fallback;
  }

  /** Says that a name which has no default is missing. */
  required(name: string, remedy: string): boolean {
    if (this.has(name)) return true;
    this.fault(name, 'is missing', remedy);
    return false;
  }

  #unknown(name: string, known: readonly string[]): void {
    const near = nearestName(name, known);
    const remedy = near === null ? `known are: ${known.join(', ')}` : `did you mean '${near}'?`;
    this.fault(name, 'is not an option here', remedy);
  }

  #fault(path: string, message: string, remedy: string): void {
    this.#faults.push({ path, message, remedy });
  }
}

/** What is wrong with a topic's name, or null. */
export function topicFault(name: unknown): { readonly message: string; readonly remedy: string } | null {
  if (typeof name !== 'string' || !TOPIC_PATTERN.test(name) || name === '.' || name === '..') {
    return { message: `${show(name)} is no topic name`, remedy: 'use 1 to 249 of a-z, A-Z, 0-9, ., _ and -' };
  }
  if (name.startsWith('__')) {
    return { message: `'${name}' is reserved for internal topics`, remedy: 'choose a name without __ at its start' };
  }
  return null;
}

export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value as a person would write it, short. */
export function show(value: unknown): string {
  if (typeof value === 'string') return `'${value.length > 60 ? `${value.slice(0, 60)}…` : value}'`;
  if (typeof value === 'function') return 'a function';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

/** A name as it may stand in an id. */
export function idPart(name: unknown): string {
  return String(name)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-');
}

/** An id that nobody gave, as long as ids may be. */
export function derivedId(text: string): string {
  return text.slice(0, 64);
}
