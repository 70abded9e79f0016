// Owns the JSON text of samples as producers write it: mostly one plain form, sometimes any other form that means the
// same. Never broken text (broken-records.ts makes that).

import type { Random } from './random.ts';
import type { SeriesShape } from './series-universe.ts';

/** What JSON can say where a number is asked for. */
export type SampleValue = number | 'NaN' | '+Inf' | '-Inf' | null;

const VARIED_SHARE = 0.05;

export function sampleText(series: SeriesShape, timestampMs: number, value: SampleValue, random: Random): string {
  if (!random.chance(VARIED_SHARE)) {
    const labels = series.labels.map(([name, text]) => `${JSON.stringify(name)}:${JSON.stringify(text)}`).join(',');
    return `{"metric_name":"${series.metricName}","timestamp":${timestampMs},"value":${valueText(value)},"labels":{${labels}}}`;
  }
  return variedText(series, timestampMs, value, random);
}

function variedText(series: SeriesShape, timestampMs: number, value: SampleValue, random: Random): string {
  const space = random.pick(['', ' ', '\n  ', '\t']);
  const labels = random.shuffled(series.labels).map(([name, text]) => member(name, stringText(text, random), space));
  if (random.chance(0.2)) labels.push(member('zone', '""', space));
  const members = [
    member('metric_name', stringText(series.metricName, random), space),
    member('timestamp', String(timestampMs), space),
    member('value', typeof value === 'number' ? numberText(value, random) : valueText(value), space),
    member('labels', `{${space}${labels.join(`,${space}`)}${space}}`, space),
  ];
  if (random.chance(0.2))
    members.push(member('unit', random.pick(['"percent"', '{"a":[1,"]}",null]}', 'true']), space));
  return `${space}{${space}${random.shuffled(members).join(`${space},${space}`)}${space}}${space}`;
}

function member(name: string, valueJson: string, space: string): string {
  return `${JSON.stringify(name)}${space}:${space}${valueJson}`;
}

function valueText(value: SampleValue): string {
  return JSON.stringify(value);
}

/** The same string, some letters as \u escapes. */
function stringText(text: string, random: Random): string {
  const plain = JSON.stringify(text);
  if (plain.includes('\\u') || random.chance(0.5)) return plain;
  return plain.replace(/(?<!\\)[a-z]/g, (letter) =>
    random.chance(0.2) ? `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}` : letter,
  );
}

/** The same number in another notation; the text always parses back to the same double. */
function numberText(value: number, random: Random): string {
  switch (random.integer(4)) {
    case 0:
      return value.toExponential();
    case 1:
      return value.toExponential().replace('e+', 'E+0');
    case 2:
      return Number.isInteger(value) ? `${value}.000` : `${value}`;
    default:
      return `${value}`;
  }
}
