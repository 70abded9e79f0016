// Owns the adapters that make figures of the operators' own benchmarks: decoding and rows, windows and their merge. All
// of them run in memory, in seconds.

import { decodeFigures } from './decode.ts';
import type { Bench, Figure } from './figure.ts';
import { formatFigures } from './formats.ts';
import { recordFigures } from './records.ts';
import { benchWindow } from './window.ts';

const MILLIONS_PER_NANOSECOND = 1000;

export const decode: Bench = {
  name: 'decode',
  summary: 'samples of every format into columns and rows into JSON, from memory',
  always: true,
  async run() {
    return [...decodeFigures(400_000, 6), ...formatFigures(200_000, 5)].map(({ name, nsPerItem, check }): Figure => {
      return { name: `decode.${name.replace('decode, ', '')}`, value: nsPerItem, unit: 'ns', note: `check ${check}` };
    });
  },
};

export const window: Bench = {
  name: 'window',
  summary: 'windows: a sample folded, a row fired, a pane merged',
  always: true,
  async run() {
    const shape = { keys: 20_000, samplesPerKey: 6, minutes: 40, openMinutes: 1, allowedLatenessMs: 0 };
    const alone = benchWindow({ ...shape, merged: false });
    const merged = benchWindow({ ...shape, merged: true });
    const note = `${alone.rows} rows, check ${alone.checksum + merged.checksum}`;
    return [
      { name: 'window.fold', value: alone.foldNs, unit: 'ns per sample', note },
      { name: 'window.fold_rate', value: MILLIONS_PER_NANOSECOND / alone.foldNs, unit: 'M samples/s/core' },
      { name: 'window.fire', value: alone.fireNs, unit: 'ns per row' },
      { name: 'window.merge', value: merged.mergeNs, unit: 'ns per pane and window' },
    ];
  },
};

export const records: Bench = {
  name: 'records',
  summary: 'windows over records, joins, lookups: a record taken, results included',
  always: true,
  async run() {
    return recordFigures(200_000).map(
      ({ name, nsPerRecord, results }): Figure => ({
        name: `records.${name}`,
        value: nsPerRecord,
        unit: 'ns per record',
        note: `${results} results`,
      }),
    );
  },
};
