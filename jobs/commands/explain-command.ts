// Owns `millrace explain`: the plan of a job module as text or as data.

import { resolve } from 'node:path';
import type { Command } from '#jobs/command-line.ts';
import { compileJob } from '#jobs/compile.ts';
import { explain } from '#jobs/explain.ts';
import { loadDefinition } from '#jobs/load-job.ts';

/** What it prints. Error: job-invalid. */
export async function explained(command: Extract<Command, { kind: 'explain' }>, directory: string): Promise<string> {
  const { plan, settings } = compileJob(await loadDefinition(resolve(directory, command.module), command.options));
  return command.json ? `${JSON.stringify({ plan, settings }, null, 2)}\n` : explain(plan, settings);
}
