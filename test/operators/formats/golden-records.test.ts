// Records as others write them: by Prometheus 2.42, by OpenTelemetry's SDK for JavaScript, in Telegraf's spelling. What
// becomes of them is pinned by the .rows.txt files, read like code when they change.

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { sampleDecoder } from '#operators/formats/sample-format.ts';
import { decoding, faultTexts, originOf, rowTexts } from '#test/operators/formats/decoder-comparison.ts';

const FOLDER = new URL('../../golden/formats/', import.meta.url);

function recordOf(file: string): Buffer {
  const text = readFileSync(new URL(file, FOLDER), 'utf8');
  return file.includes('.base64.') ? Buffer.from(text, 'base64') : Buffer.from(text);
}

test.each([
  ['remote-write.base64.txt', 'remote-write'],
  ['otlp.base64.txt', 'otlp'],
  ['otlp.json', 'otlp'],
  ['influx.txt', 'influx'],
] as const)('%s gives the rows of %s.rows.txt, when its format is told by itself', async (file, name) => {
  const state = decoding((options) => sampleDecoder({ name: 'auto' }, options));
  const record = recordOf(file);
  const origin = { ...originOf(0, 0), skewLimitMs: Number.POSITIVE_INFINITY };
  state.decoder.decode(record, 0, record.length, origin, state.batch);
  expect(faultTexts(state)).toEqual([]);
  const { notFinite } = state.decoder.outcome;
  const text = `${rowTexts(state).join('\n')}\n${notFinite === 0 ? '' : `and ${notFinite} not finite\n`}`;
  await expect(text).toMatchFileSnapshot(`../../golden/formats/${name}.rows.txt`);
});
