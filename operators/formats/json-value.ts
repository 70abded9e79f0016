// Owns parsing whole JSON text where JSON.parse cannot be trusted: V8 gives an escaped key the name of an earlier key
// with a backslash (nodejs/node#63785), so its answer depends on what was parsed before, and a replay could differ.
// Invariant: the value is the one ECMA-404 and JSON.parse agree on, whatever was parsed before.

import { setOwn } from '#runtime/std/own-property.ts';

const OPEN = 0x7b;
const CLOSE = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** The value of JSON text, as JSON.parse makes it. Errors: SyntaxError. Nesting is the stack's. */
export function parseJson(text: string): unknown {
  return text.includes('\\') ? new JsonReader(text).read() : JSON.parse(text);
}

class JsonReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(): unknown {
    const value = this.#value();
    this.#skipSpace();
    if (this.#at < this.#text.length) this.#fail();
    return value;
  }

  #value(): unknown {
    this.#skipSpace();
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object();
      case '[':
        return this.#array();
      case '"':
        return this.#string();
      case 't':
        return this.#literal('true', true);
      case 'f':
        return this.#literal('false', false);
      case 'n':
        return this.#literal('null', null);
      default:
        return this.#number();
    }
  }

  #object(): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    this.#at++;
    if (this.#take('}')) return object;
    do {
      this.#skipSpace();
      const key = this.#string();
      if (!this.#take(':')) this.#fail();
      setOwn(object, key, this.#value());
    } while (this.#take(','));
    if (!this.#take('}')) this.#fail();
    return object;
  }

  #array(): unknown[] {
    const array: unknown[] = [];
    this.#at++;
    if (this.#take(']')) return array;
    do array.push(this.#value());
    while (this.#take(','));
    if (!this.#take(']')) this.#fail();
    return array;
  }

  // A string that stands alone has no key to be mistaken for. Loops, because a regular expression runs out of stack
  // on strings of megabytes.
  #string(): string {
    const text = this.#text;
    const start = this.#at;
    if (text[start] !== '"') this.#fail();
    let at = start + 1;
    for (; text[at] !== '"'; at++) {
      if (at >= text.length) this.#fail();
      if (text[at] === '\\') at++;
    }
    this.#at = at + 1;
    return JSON.parse(text.slice(start, this.#at));
  }

  #number(): number {
    const start = this.#at;
    while (this.#at < this.#text.length && '+-.0123456789eE'.includes(this.#text[this.#at])) this.#at++;
    if (this.#at === start) this.#fail();
    return JSON.parse(this.#text.slice(start, this.#at));
  }

  #literal<T>(text: string, value: T): T {
    if (!this.#text.startsWith(text, this.#at)) this.#fail();
    this.#at += text.length;
    return value;
  }

  #take(char: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #skipSpace(): void {
    while (this.#at < this.#text.length && ' \n\r\t'.includes(this.#text[this.#at])) this.#at++;
  }

  #fail(): never {
    throw new SyntaxError(
      this.#at < this.#text.length ? `unexpected character at ${this.#at}` : 'unexpected end of JSON text',
    );
  }
}

/** Whether brackets outside of strings nest deeper than `depthMax`; the text need not be JSON. */
export function nestsDeeperThan(text: Uint8Array, depthMax: number): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const byte = text[i];
    if (byte === QUOTE) {
      for (i++; i < text.length && text[i] !== QUOTE; i++) if (text[i] === BACKSLASH) i++;
    } else if (byte === OPEN || byte === OPEN_ARRAY) {
      if (++depth > depthMax) return true;
    } else if (byte === CLOSE || byte === CLOSE_ARRAY) depth--;
  }
  return false;
}
