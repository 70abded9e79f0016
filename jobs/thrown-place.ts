// Owns telling where the code of somebody else threw: the first line of the stack that lies neither in Node nor among
// Millrace's own jobs. Only for people; nothing depends on it.

import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const FRAME = /^ +at (?:.*\()?((?:file:\/\/)?\/[^()]+):(\d+:\d+)\)?$/gm;
const OURS = `${dirname(fileURLToPath(import.meta.url))}/`;

/** ` (at /…/job.ts:3:7)`, or nothing when the stack does not tell. */
export function thrownPlace(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const frames = [...(error.stack ?? '').matchAll(FRAME)].map(([, file, at]) => ({ path: pathOf(file), at }));
  const frame = frames.find(({ path }) => !path.startsWith(OURS)) ?? frames[0];
  return frame === undefined ? '' : ` (at ${frame.path}:${frame.at})`;
}

function pathOf(file: string): string {
  return file.startsWith('file:') ? fileURLToPath(file) : file;
}
