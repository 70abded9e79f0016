// The job that ends the thread it runs in, once: the file that says so is its memory.

import { existsSync, writeFileSync } from 'node:fs';
import { minutes } from './minutes.ts';

export const DIED = 'MILLRACE_TEST_DIED';

export default minutes('deadly', (value) => {
  const path = process.env[DIED];
  if (value !== 777 || path === undefined || existsSync(path)) return;
  writeFileSync(path, 'once');
  process.exit(7);
});
