// Owns what `millrace deploy` and `millrace versions` show to people. Pure.

import { humanDuration, humanMoment, NOTHING, printable } from '#jobs/commands/human-text.ts';
import type { TextContext } from '#jobs/commands/jobs-text.ts';
import { type Column, textTable } from '#jobs/commands/text-table.ts';
import type { DeployPlanView, JobVersionView, StateChangeView } from '#runtime/http/deploy-contract.ts';

const WAYS: Readonly<Record<DeployPlanView['way'], string>> = {
  none: 'runs already',
  new: 'begins',
  handover: 'takes over: each task goes on where it is',
  generation: 'begins a new generation from a savepoint',
};

/** Lines about what would happen. */
export function deployPlanText({ from, job, reasons, states, version, way }: DeployPlanView): string {
  const was = from === null || from === version ? '' : ` instead of ${printable(from)}`;
  const lines = [`${printable(job)}: version ${printable(version)}${was} ${WAYS[way] ?? printable(way)}`];
  for (const reason of reasons) lines.push(`  because ${printable(reason)}`);
  for (const [operator, own] of Map.groupBy(states, (state) => state.operator)) {
    lines.push(`  ${printable(operator)}: ${own.map(stateText).join(', ')}`);
  }
  return `${lines.join('\n')}\n`;
}

function stateText({ change, from, stateId, to }: StateChangeView): string {
  const schema = from === null ? '' : ` (schema ${from} to ${to})`;
  return `state '${printable(stateId)}' ${printable(change)}${schema}`;
}

export function versionsText(versions: readonly JobVersionView[], { nowMs, paint }: TextContext): string {
  if (versions.length === 0) return 'the job never ran\n';
  const columns: Column[] = [
    { title: 'VERSION', paint: paint.bold },
    { title: '' },
    { title: 'SINCE' },
    { title: 'AGO', right: true },
    { title: 'MODULE' },
    { title: 'BY' },
    { title: 'MILLRACE' },
    { title: 'NODE', right: true },
  ];
  const rows = versions.map(({ current, deployed, engine, kept, module, node, sinceMs, version }) => [
    printable(version),
    current ? 'counts' : kept ? 'kept' : 'not kept',
    humanMoment(sinceMs),
    humanDuration(nowMs - sinceMs),
    printable(module),
    deployed ? 'deploy' : 'configuration',
    engine === null ? NOTHING : printable(engine),
    node === null ? NOTHING : String(node),
  ]);
  return `${textTable(columns, rows).join('\n')}\n`;
}
