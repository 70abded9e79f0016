// Owns how values that an older version of a job has written become those of this one: codecs that know their elders.
// A codec without elders reads its own schema only. Runs functions of the job, while a checkpoint is restored.

import type { StateCodec } from '#checkpoint/codecs.ts';
import { readerOf } from '#checkpoint/contract.ts';
import { crc32c } from '#runtime/std/crc32c.ts';
import { invariant, StreamError } from '#runtime/std/errors.ts';

/** What a state was: how its values were written, and what becomes of them. */
export interface Migration<Old, New> {
  readonly from: StateCodec<Old>;
  /** Must depend on the value alone. */
  readonly migrate: (old: Old) => New;
}

/**
 * The same codec for values of another shape: another schema version, so that `migrating` can tell them apart.
 * @param version a whole number from 2; values that were written without are of version 1
 */
export function versioned<V>(codec: StateCodec<V>, version: number): StateCodec<V> {
  invariant(Number.isInteger(version) && version >= 2, `a schema has version ${version}: whole numbers from 2`);
  const name = `${codec.name}, version ${version}`;
  return { ...codec, name, schemaVersion: crc32c(Buffer.from(name)) };
}

/** Values as `codec` has them; those of an older checkpoint are made of what was. */
export function migrating<V, Olds extends readonly unknown[]>(
  codec: StateCodec<V>,
  ...older: { readonly [At in keyof Olds]: Migration<Olds[At], V> }
): StateCodec<V> {
  const migrations = older as unknown as readonly Migration<unknown, V>[];
  if (migrations.length === 0) return codec;
  return {
    ...codec,
    older: [...migrations, ...(codec.older ?? [])],
    readOlder(schemaVersion) {
      for (const { from, migrate } of migrations) {
        const read = readerOf(from, schemaVersion);
        if (read !== null) return (input) => codec.own(migrated(migrate, read(input), from.name));
      }
      return codec.readOlder?.(schemaVersion) ?? null;
    },
  };
}

function migrated<Old, New>(migrate: (old: Old) => New, old: Old, what: string): New {
  try {
    return migrate(old);
  } catch (cause) {
    throw new StreamError(
      'operator-failed',
      `the migration of a state from ${what} threw: ${(cause as Error).message}`,
      'correct the function: it is given each value of the older state; the checkpoint stays as it is',
      { cause },
    );
  }
}
