// Owns how rows are said in scripts: samples, records of any shape, rollup rows, and which log record each is of.

import { timeOf } from '#test/operators/scripts/script-time.ts';
import type { Row } from '#test/operators/windows/operator-rig.ts';

type SlotOf = (key: string) => number;
type Origin = NonNullable<Row['origin']>;

const SOURCE_TOPIC = 'metrics.raw';
/** What Prometheus writes for a NaN that was counted, and for the end of a series. */
const NAN_BITS = 0x7ff8000000000001n;
const STALE_BITS = 0x7ff0000000000002n;

/** `(KEY TIME VALUE)… [from PARTITION/OFFSET] …`: `from` speaks of the samples before it. */
export function samplesOf(words: readonly string[], slotOf: SlotOf): Row[] {
  const rows: Row[] = [];
  let told = 0;
  for (let i = 0; i < words.length; ) {
    if (words[i] === 'from') {
      for (; told < rows.length; told++) rows[told] = { ...rows[told], origin: originOf(words[i + 1]) };
      i += 2;
    } else {
      rows.push({ slot: slotOf(words[i]), timeMs: timeOf(words[i + 1]), ...numberOf(words[i + 2]) });
      i += 3;
    }
  }
  return rows;
}

/** `KEY TIME JSON [| …]`. */
export function recordsOf(text: string, slotOf: SlotOf): Row[] {
  return text.split('|').map((row) => {
    const [key, time, ...value] = row.trim().split(' ');
    return { slot: slotOf(key), timeMs: timeOf(time), value: 0, record: recordOf(value.join(' ')) };
  });
}

/** `(SERIES START END EIGHT-NUMBERS [run N] [revision N] [from PARTITION/OFFSET])…`, numbers between commas. */
export function rollupsOf(words: readonly string[], slotOf: SlotOf): Row[] {
  const rows: Row[] = [];
  for (let i = 0; i < words.length; ) {
    const [series, start, end, numbers] = words.slice(i, i + 4);
    const told = { run: '0', revision: '0', from: '0/0' };
    for (i += 4; words[i] in told; i += 2) told[words[i] as keyof typeof told] = words[i + 1];
    const values = numbers.split(',').map(Number);
    if (values.length !== 8) throw new Error(`'${numbers}' is not eight numbers`);
    const [startMs, endMs] = [timeOf(start), timeOf(end)];
    const rollup = { startMs, endMs, values, run: Number(told.run), revision: Number(told.revision) };
    rows.push({ slot: slotOf(series), timeMs: endMs - 1, value: 0, rollup, origin: originOf(told.from) });
  }
  return rows;
}

function originOf(text: string): Origin {
  const [partition, offset] = text.split('/').map(Number);
  return { topic: SOURCE_TOPIC, partition, offset };
}

/** A number, `Infinity`, `NaN`, `stale`, or `NaN:` and the sixteen digits of another NaN. */
function numberOf(text: string): Pick<Row, 'value' | 'bits'> {
  if (text === 'stale') return { value: Number.NaN, bits: STALE_BITS };
  if (text === 'NaN') return { value: Number.NaN, bits: NAN_BITS };
  if (text.startsWith('NaN:')) return { value: Number.NaN, bits: BigInt(`0x${text.slice(4)}`) };
  const value = Number(text);
  if (text === '' || Number.isNaN(value)) throw new Error(`'${text}' is no value`);
  return { value };
}

/** As it was said. */
export function valueText(value: number, bits: bigint | undefined): string {
  if (!Number.isNaN(value)) return Object.is(value, -0) ? '-0' : String(value);
  if (bits === STALE_BITS) return 'stale';
  return bits === NAN_BITS ? 'NaN' : `NaN:${bits?.toString(16)}`;
}

/** JSON, or what JSON cannot say. */
function recordOf(text: string): unknown {
  return text === 'undefined' ? undefined : JSON.parse(text);
}
