// Owns which decoder reads the rollup rows of a topic.

import { AvroRowDecoder } from '#operators/formats/avro-row-decoder.ts';
import { JsonRowDecoder } from '#operators/formats/json-row-decoder.ts';
import { RemoteWriteRowDecoder } from '#operators/formats/remote-write-row-decoder.ts';
import type { RowDecoder } from '#operators/formats/row-decoder.ts';
import type { RowFormatName } from '#operators/formats/row-encoder.ts';
import type { SeriesTable } from '#operators/series/series-table.ts';

export function rowDecoder(format: RowFormatName, table: SeriesTable): RowDecoder {
  switch (format) {
    case 'json':
      return new JsonRowDecoder(table);
    case 'avro':
      return new AvroRowDecoder(table);
    case 'remote-write':
      return new RemoteWriteRowDecoder(table);
  }
}
