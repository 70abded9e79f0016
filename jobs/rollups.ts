// Owns the job that ships first: samples become rows per minute, five minutes, hour and day, one topic each. The
// larger windows merge the minutes in the order of their start.

import { defineJob, type JobDefinition } from '#jobs/define-job.ts';
import { mergedStats, type SamplesOptions, samples, series, stats, topic, tumbling } from '#jobs/descriptions.ts';
import { type Fault, faultsError } from '#jobs/faults.ts';
import { OptionReader } from '#jobs/option-reader.ts';
import { SAMPLES_OPTIONS } from '#jobs/source-check.ts';
import type { RowFormatName } from '#operators/formats/row-encoder.ts';

export interface RollupsOptions extends Partial<Omit<SamplesOptions, 'id'>> {
  /** How long after its end a minute still takes late samples; larger windows follow. @default '0s' */
  readonly allowedLateness?: string | undefined;
  /** Rows go to `<outputPrefix>.1m`, `.5m`, `.1h`, `.1d`. @default 'metrics.rollup' */
  readonly outputPrefix?: string | undefined;
  /** How rows are written: see `topic`. @default 'json' */
  readonly rowFormat?: RowFormatName | undefined;
  /** Partitions of the exchange. @default those of the source */
  readonly exchangePartitions?: number | undefined;
  /** @default 'rollups' */
  readonly name?: string | undefined;
}

const OWN_OPTIONS = ['allowedLateness', 'outputPrefix', 'rowFormat', 'exchangePartitions', 'name'];

/** The rollup job. Nothing declared about the source means an exchange by series, which is right for any producer. Error: job-invalid for an unknown option. */
export default function rollups(options: RollupsOptions = {}): JobDefinition {
  checkNames(options);
  const { allowedLateness, exchangePartitions, name = 'rollups', rowFormat: format, ...more } = options;
  const { outputPrefix = 'metrics.rollup', ...source } = more;
  return defineJob({
    name,
    exchangePartitions,
    source: samples({ ...source, topic: source.topic ?? 'metrics.raw' }),
    build: (raw) => {
      const minute = raw.keyBy(series).window('1m', tumbling('1m', { allowedLateness })).aggregate(stats());
      minute.to(topic(`${outputPrefix}.1m`, { format }));
      for (const size of ['5m', '1h', '1d']) {
        minute
          .window(size, tumbling(size))
          .aggregate(mergedStats())
          .to(topic(`${outputPrefix}.${size}`, { format }));
      }
    },
  });
}

/** Values are checked where they are used; names here, since only here all of them are known. */
function checkNames(options: RollupsOptions): void {
  const faults: Fault[] = [];
  new OptionReader(faults, 'options', options, [...OWN_OPTIONS, ...SAMPLES_OPTIONS.filter((name) => name !== 'id')]);
  if (faults.length > 0) throw faultsError('job-invalid', "job 'rollups'", faults);
}
