// Loaded by NODE_OPTIONS into every thread of a process under faults, before anything of the product: it looks at files
// in FAULTS_DIRECTORY and does to its own thread what they say. `clock` holds milliseconds by which Date is off;
// `<name of the thread>.die` is removed, and the thread ends on the spot, wherever its work stands.

import { readFileSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { isMainThread, threadName } from 'node:worker_threads';

const LOOK_MS = 20;
const DIED_CODE = 13;

const directory = process.env['FAULTS_DIRECTORY'];
let shiftMs = 0;

if (directory !== undefined) {
  shiftDates();
  const look = () => {
    readShift(join(directory, 'clock'));
    if (!isMainThread) dieIfTold(join(directory, `${threadName}.die`));
  };
  look();
  setInterval(look, LOOK_MS).unref();
}

function readShift(path: string): void {
  try {
    shiftMs = Number(readFileSync(path, 'utf8')) || 0;
  } catch {
    shiftMs = 0;
  }
}

function dieIfTold(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    return;
  }
  process.exit(DIED_CODE);
}

/** `Date.now()` and dates made of nothing; those made of a time are what they say. */
function shiftDates(): void {
  const Real = Date;
  const now = () => Real.now() + shiftMs;
  globalThis.Date = new Proxy(Real, {
    get: (target, key) => (key === 'now' ? now : Reflect.get(target, key)),
    apply: () => new Real(now()).toString(),
    construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  });
}
