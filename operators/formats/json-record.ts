// Owns whole records in JSON. Invariant: what a record gives can be kept and sent on as it is: finite numbers, text that
// is Unicode. What JSON would say otherwise is refused, for it would stop the first state or sink that meets it.

import { jsonLoss } from '#operators/formats/json-loss.ts';
import { nestsDeeperThan, parseJson } from '#operators/formats/json-value.ts';
import { NESTING_MAX } from '#operators/formats/sample-decoder.ts';
import { RecordFault, type RecordFormat, textOf, writeText } from '#operators/formats/whole-record.ts';

/** Only such text can hold half a surrogate pair, or a number beyond the largest: exponents, hundreds of digits. */
const SUSPECT = /\\u[dD][89a-fA-F]|[0-9][eE]\+?[0-9]{3}|(?<![0-9])[0-9]{200}/;

const BYTE_ORDER_MARK = '\ufeff';

export const JSON_RECORD: RecordFormat = {
  decode(bytes, start, end) {
    if (nestsDeeperThan(bytes.subarray(start, end), NESTING_MAX)) {
      throw new RecordFault(`nests deeper than ${NESTING_MAX}`);
    }
    const text = textOf(bytes, start, end);
    let value: unknown;
    try {
      value = parseJson(text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text);
    } catch (error) {
      throw new RecordFault(`is no JSON: ${(error as Error).message}`);
    }
    const problem = SUSPECT.test(text) ? problemOf(value, '$') : null;
    if (problem !== null) throw new RecordFault(`cannot be kept as it is: ${problem}`);
    return value;
  },
  encode(value, out) {
    const loss = jsonLoss(value);
    if (loss !== null) throw new RecordFault(`${loss}, which JSON would lose`);
    const text = JSON.stringify(value);
    if (text === undefined) throw new RecordFault(`${typeof value} has no JSON`);
    writeText(text, out);
  },
};

// Nests no deeper than NESTING_MAX.
function problemOf(value: unknown, path: string): string | null {
  if (typeof value === 'number') return Number.isFinite(value) ? null : `${path} is beyond the largest number`;
  if (typeof value === 'string') return value.isWellFormed() ? null : `${path} holds half a surrogate pair`;
  if (typeof value !== 'object' || value === null) return null;
  const isList = Array.isArray(value);
  for (const [name, part] of Object.entries(value)) {
    if (!name.isWellFormed()) return `${path} has a name with half a surrogate pair`;
    const problem = problemOf(part, isList ? `${path}[${name}]` : `${path}.${name}`);
    if (problem !== null) return problem;
  }
  return null;
}
