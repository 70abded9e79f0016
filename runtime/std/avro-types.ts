// Owns what a whole Avro record is made and read by: the types of avsc, loaded when a job first needs one. The door of
// avsc. Invariant: records and wrapped unions are plain objects: states and exchanges hold nothing else. Maps keep every
// key, and text is what it was or refused.

import { isUtf8 } from 'node:buffer';
import { createRequire } from 'node:module';
import { lazily } from '#runtime/std/lazily.ts';
import { setOwn } from '#runtime/std/own-property.ts';

const avsc = lazily<typeof import('avsc')>(() => createRequire(import.meta.url)('avsc'));

export type AvroType = import('avsc').Type;

/** The type of a schema, as parsed JSON; one that avsc does not take is its error. */
export function avroType(schema: unknown): AvroType {
  const { Type } = avsc();
  const type = Type.forSchema(schema as Parameters<typeof Type.forSchema>[0], {
    omitRecordMethods: true,
    typeHook: strictType,
  });
  makePlain(type, new Set());
  return type;
}

/** Where avsc reads or writes. */
interface Tap {
  readonly buf: Buffer;
  pos: number;
  readLong(): number;
  readString(): string;
}

interface Coded extends AvroType {
  _read(tap: Tap): unknown;
  _write(tap: Tap, value: unknown): void;
}

type ForSchema = typeof import('avsc').Type.forSchema;
type TypeHook = NonNullable<NonNullable<Parameters<ForSchema>[1]>['typeHook']>;

const strictTypes = lazily(() => {
  const { types } = avsc();
  const Text = types.StringType as unknown as new () => Coded;
  const Mapping = types.MapType as unknown as new (...given: Parameters<TypeHook>) => Coded & { valuesType: Coded };

  class StrictText extends Text {
    override _read(tap: Tap): string {
      return textOf(tap);
    }

    override _write(tap: Tap, value: unknown): void {
      if (typeof value === 'string') checkText(value);
      super._write(tap, value);
    }
  }

  class StrictMap extends Mapping {
    override _read(tap: Tap): Record<string, unknown> {
      const values = this.valuesType;
      const map: Record<string, unknown> = {};
      for (let count = blockCount(tap); count > 0; count = blockCount(tap)) {
        for (; count > 0; count--) {
          const key = textOf(tap);
          setOwn(map, key, values._read(tap));
        }
      }
      return map;
    }

    override _write(tap: Tap, value: unknown): void {
      for (const key of Object.keys(Object(value))) checkText(key);
      super._write(tap, value);
    }
  }
  return { StrictMap, StrictText };
});

const strictType: TypeHook = (schema, options) => {
  const name = typeof schema === 'string' ? schema : (schema as { readonly type?: unknown }).type;
  if (name === 'string') return new (strictTypes().StrictText)();
  if (name === 'map') return new (strictTypes().StrictMap)(schema, options);
  return undefined;
};

function blockCount(tap: Tap): number {
  const count = tap.readLong();
  if (count < 0) tap.readLong();
  return Math.abs(count);
}

// avsc puts U+FFFD for what is no UTF-8.
function textOf(tap: Tap): string {
  const at = tap.pos;
  const text = tap.readString();
  if (text.includes('\ufffd')) {
    const end = tap.pos;
    tap.pos = at;
    tap.readLong();
    if (!isUtf8(tap.buf.subarray(tap.pos, end))) throw new RangeError('it holds text that is no UTF-8');
    tap.pos = end;
  }
  return text;
}

function checkText(text: string): void {
  if (!text.isWellFormed()) throw new RangeError('it holds text with half a surrogate pair');
}

/** What types have of each other. */
interface Parts {
  readonly typeName: string;
  readonly recordConstructor?: unknown;
  readonly fields?: readonly { readonly type: AvroType }[];
  readonly types?: readonly AvroType[];
  readonly itemsType?: AvroType;
  readonly valuesType?: AvroType;
  readonly underlyingType?: AvroType;
}

// Without methods the classes that avsc makes for records have nothing that objects have not.
function makePlain(type: AvroType, seen: Set<AvroType>): void {
  if (seen.has(type)) return;
  seen.add(type);
  const parts = type as unknown as Parts;
  const { fields = [], itemsType, recordConstructor, types = [], typeName, underlyingType, valuesType } = parts;
  if (recordConstructor !== undefined) makesObjects(recordConstructor);
  if (typeName === 'union:wrapped') {
    for (const branch of types) if (branch.typeName !== 'null') makesObjects(branch.wrap(null)?.constructor);
  }
  for (const part of [...fields.map((field) => field.type), ...types, itemsType, valuesType, underlyingType]) {
    if (part !== undefined) makePlain(part, seen);
  }
}

function makesObjects(made: unknown): void {
  if (typeof made === 'function' && made !== Object) made.prototype = Object.prototype;
}
