// Owns the Prometheus text exposition format 0.0.4: families with help and type, samples with labels. Knows no figure of
// ours. Invariant: the samples of a family stand together, and a family is told once.

import { invariant } from '#runtime/std/errors.ts';
import type { Distribution } from '#runtime/std/histogram.ts';

export type MetricType = 'counter' | 'gauge' | 'histogram';
export type Labels = Readonly<Record<string, string | number>>;

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

interface Family {
  readonly head: string;
  readonly type: MetricType;
  readonly lines: string[];
}

export class MetricsText {
  readonly #families = new Map<string, Family>();

  /** Says what a metric is; those without a sample are left out of the text. */
  declare(name: string, type: MetricType, help: string): void {
    invariant(NAME.test(name), `'${name}' is no name of a metric`);
    invariant(!this.#families.has(name), `metric '${name}' is declared twice`);
    const text = help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
    this.#families.set(name, { head: `# HELP ${name} ${text}\n# TYPE ${name} ${type}\n`, type, lines: [] });
  }

  add(name: string, labels: Labels, value: number): void {
    this.#family(name).lines.push(`${name}${labelText(labels)} ${numberText(value)}\n`);
  }

  addDistribution(name: string, labels: Labels, { bounds, counts, sum }: Distribution): void {
    const { lines } = this.#family(name);
    let below = 0;
    for (let i = 0; i < counts.length; i++) {
      below += counts[i];
      const le = i < bounds.length ? numberText(bounds[i]) : '+Inf';
      lines.push(`${name}_bucket${labelText({ ...labels, le })} ${below}\n`);
    }
    lines.push(`${name}_sum${labelText(labels)} ${numberText(sum)}\n`, `${name}_count${labelText(labels)} ${below}\n`);
  }

  toString(): string {
    let text = '';
    for (const { head, lines } of this.#families.values()) if (lines.length > 0) text += head + lines.join('');
    return text;
  }

  #family(name: string): Family {
    const family = this.#families.get(name);
    invariant(family !== undefined, `metric '${name}' is not declared`);
    return family;
  }
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => {
    invariant(LABEL.test(name), `'${name}' is no name of a label`);
    const text = String(value).replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
    return `${name}="${text}"`;
  });
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}
