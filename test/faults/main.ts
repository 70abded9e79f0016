// Owns `npm run test:faults`: reads the command line, takes a mount namespace of its own where that is possible (the
// small disk goes with it), runs, prints. Code 1: something is lost, doubled or otherwise wrong; 2: wrong usage.

import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { failuresOf, jsonOf, tableOf } from './fault-report.ts';
import { runFaults } from './fault-run.ts';
import { FAULT_KINDS, type FaultKind } from './schedule.ts';

const OWN_MOUNTS = 'FAULTS_OWN_MOUNTS';
const SHORT_KILLS = 5;
const USAGE = `usage: npm run test:faults -- [--kills N] [--seed S] [--workers N] [--slots N] [--rate N] [--series N] [--overlap SHARE]
         [--kinds ${FAULT_KINDS.join()}] [--json]`;

const options = {
  kills: { type: 'string', default: `${SHORT_KILLS}` },
  seed: { type: 'string', default: '1' },
  workers: { type: 'string', default: '3' },
  slots: { type: 'string', default: '2' },
  rate: { type: 'string' },
  series: { type: 'string' },
  overlap: { type: 'string' },
  kinds: { type: 'string' },
  json: { type: 'boolean', default: false },
} as const;

process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({ options });
  const kills = Number(values.kills);
  // A long run keeps every row and every sample in memory until it is judged.
  const long = kills > 20;
  const numbers = {
    kills,
    seed: Number(values.seed),
    workers: Number(values.workers),
    slots: Number(values.slots),
    recordsPerSecond: Number(values.rate ?? (long ? 300 : 900)),
    seriesCount: Number(values.series ?? (long ? 60 : 90)),
  };
  const overlapShare = Number(values.overlap ?? (long ? 0.3 : 0));
  const kinds = values.kinds?.split(',') as FaultKind[] | undefined;
  const wrong = Object.values(numbers).some((value) => !Number.isSafeInteger(value) || value < 0);
  if (
    wrong ||
    !(overlapShare >= 0 && overlapShare <= 1) ||
    kinds?.some((kind) => !FAULT_KINDS.includes(kind)) ||
    numbers.workers < 1
  ) {
    process.stderr.write(`${USAGE}\n`);
    return 2;
  }
  const moved = inOwnMounts();
  if (moved !== null) return moved;
  const tell = (line: string) => void process.stderr.write(`${line}\n`);
  const result = await runFaults({ ...numbers, overlapShare, kinds, tell }).catch((error: unknown) => {
    tell(error instanceof Error ? error.message : String(error));
    return null;
  });
  if (result === null) return 1;
  process.stdout.write(`${values.json ? jsonOf(result) : tableOf(result)}\n`);
  return failuresOf(result).length > 0 ? 1 : 0;
}

/** Runs this again where mounts are its own and end with it; null where that cannot be, or it is there already. */
function inOwnMounts(): number | null {
  if (process.env[OWN_MOUNTS] !== undefined) return null;
  if (spawnSync('unshare', ['-rm', 'true'], { stdio: 'ignore' }).status !== 0) return null;
  const words = ['-rm', process.execPath, import.meta.filename, ...process.argv.slice(2)];
  const { status } = spawnSync('unshare', words, { stdio: 'inherit', env: { ...process.env, [OWN_MOUNTS]: '1' } });
  return status ?? 1;
}
