// Owns the few lines with which `millrace start` says what runs and where to look. Pure text.

import { relative } from 'node:path';
import type { LogConfiguration } from '#jobs/configuration.ts';
import type { Plan } from '#jobs/plan.ts';

export interface Started {
  readonly version: string;
  readonly log: LogConfiguration;
  readonly jobs: readonly Plan[];
  /** Null: no admin API. */
  readonly url: string | null;
  readonly workingDirectory: string;
}

const TOPICS_SHOWN_MAX = 5;

/** Ends with an empty line. */
export function startBanner({ version, log, jobs, url, workingDirectory }: Started): string {
  const where =
    log.kind === 'kafka'
      ? `the Kafka at ${log.brokers.join(', ')}`
      : `the log in ${relative(workingDirectory, log.directory) || '.'}`;
  const lines = [`Millrace ${version} on ${where}, with made-up samples`];
  for (const plan of jobs) {
    const from = plan.sources.map(({ topic }) => topic);
    const steps = plan.stages.flatMap((stage) => stage.steps);
    const to = steps.flatMap((step) => (step.kind === 'topic' ? [step.topic] : []));
    lines.push(`  job ${plan.job}: ${shown(from)} to ${shown(to)}`);
  }
  if (url !== null) {
    lines.push(`  look: npx millrace jobs, npx millrace state ${jobs[0].job}, ${url}/jobs${urlHint(url)}`);
  }
  lines.push('  rows follow as their windows close; Ctrl-C ends with a checkpoint, the next start goes on there');
  return `${lines.join('\n')}\n\n`;
}

/** The commands look at the default address unless told otherwise. */
function urlHint(url: string): string {
  return url.endsWith(':8081') ? '' : `, with MILLRACE_URL=${url}`;
}

function shown(topics: readonly string[]): string {
  if (topics.length === 0) return 'outside';
  const first = topics.slice(0, TOPICS_SHOWN_MAX).join(', ');
  const more = topics.length - TOPICS_SHOWN_MAX;
  return more > 0 ? `${first} and ${more} more` : first;
}
