// Owns what `millrace savepoints` shows to people. Pure.

import { humanCount, humanDuration, humanMoment, humanSize, NOTHING, printable } from '#jobs/commands/human-text.ts';
import type { TextContext } from '#jobs/commands/jobs-text.ts';
import { type Column, textTable } from '#jobs/commands/text-table.ts';
import type { SavepointView } from '#runtime/http/deploy-contract.ts';

export function savepointsText(savepoints: readonly SavepointView[], { nowMs, paint }: TextContext): string {
  if (savepoints.length === 0) return 'the job has no savepoint yet: millrace savepoint JOB takes one\n';
  const columns: Column[] = [
    { title: 'SAVEPOINT', paint: paint.bold },
    { title: 'TAKEN' },
    { title: 'AGO', right: true },
    { title: 'VERSION' },
    { title: 'TASKS', right: true },
    { title: 'SIZE', right: true },
    { title: 'BEHIND', right: true },
  ];
  const rows = savepoints.map(({ createdMs, id, sizeBytes, tasks, version, watermarkMs }) => [
    printable(id),
    humanMoment(createdMs),
    humanDuration(nowMs - createdMs),
    printable(version),
    humanCount(tasks),
    humanSize(sizeBytes),
    watermarkMs === null ? NOTHING : humanDuration(createdMs - watermarkMs),
  ]);
  return `${textTable(columns, rows).join('\n')}\n`;
}
