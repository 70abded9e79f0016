// Owns copying values through their bytes, for values that one side changes in place and another must not see change.

import type { ValueCodec } from '#checkpoint/contract.ts';
import { ByteReader, ByteWriter } from '#runtime/std/byte-writer.ts';

export function copier<V>(codec: ValueCodec<V>): (value: V) => V {
  const out = new ByteWriter(256);
  return (value) => {
    out.clear();
    codec.write(value, out);
    return codec.read(new ByteReader(out.toBytes()));
  };
}
