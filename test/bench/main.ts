// Owns `npm run bench`: runs the benchmarks named on the command line, or all, and prints a line per figure (`--json`:
// one JSON object per line). Never asserts a time: a figure is for reading, a wrong result is an error.

import { parseArgs } from 'node:util';
import { endToEnd } from './end-to-end.ts';
import type { Bench, Figure } from './figure.ts';
import { decode, records, window } from './operators.ts';
import { remoteWriteBench } from './remote-write.ts';
import { restoreBench } from './restore.ts';
import { stateScan } from './state-scan.ts';
import { tasksBench } from './tasks.ts';

const BENCHES: readonly Bench[] = [
  decode,
  window,
  records,
  remoteWriteBench,
  stateScan,
  tasksBench,
  restoreBench,
  endToEnd,
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    repeat: { type: 'string', default: '3' },
    minutes: { type: 'string', default: '10' },
    tasks: { type: 'string', default: '1000' },
    keys: { type: 'string', default: '1000000' },
    engines: { type: 'string', default: 'flink,millrace' },
  },
});

const unknown = positionals.filter((name) => !BENCHES.some((bench) => bench.name === name));
const [repeat, minutes, tasks, keys] = [values.repeat, values.minutes, values.tasks, values.keys].map(Number);
if (unknown.length > 0 || !(repeat >= 1) || !(minutes >= 1) || !(tasks >= 1) || !(keys >= 1)) {
  process.stderr.write(
    `usage: npm run bench -- [--json] [--repeat 3] [--minutes 10] [--tasks 1000] [--keys 1000000] [--engines flink,millrace] [${BENCHES.map((bench) => bench.name).join(' ')}]\n`,
  );
  process.exit(2);
}

if (values.list) {
  for (const bench of BENCHES) process.stdout.write(`${bench.name.padEnd(12)} ${bench.summary}\n`);
} else {
  const progress = (message: string) => void process.stderr.write(`${message}\n`);
  const chosen = BENCHES.filter((bench) =>
    positionals.length === 0 ? bench.always : positionals.includes(bench.name),
  );
  for (const bench of chosen) {
    for (const figure of await bench.run({
      repeat,
      minutes,
      tasks,
      keys,
      engines: values.engines.split(','),
      progress,
    }))
      process.stdout.write(`${line(figure)}\n`);
  }
}

function line(figure: Figure): string {
  if (values.json) return JSON.stringify(figure);
  const { name, value, unit, note } = figure;
  const digits = value === 0 ? 0 : Math.max(0, 3 - Math.floor(Math.log10(Math.abs(value))));
  return `${name.padEnd(48)} ${value.toFixed(Math.min(digits, 6)).padStart(12)} ${unit}${note === undefined ? '' : `  (${note})`}`;
}
