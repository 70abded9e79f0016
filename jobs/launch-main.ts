#!/usr/bin/env node
// Owns that `millrace` runs on the Node that is installed with it, whichever Node started it: a newer one goes on by
// itself, an older one hands over. Must be readable by the oldest Node of package.json, and so imports nothing of ours
// before it has looked.

import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const NODE_MAJOR_MIN = 24;

async function launch(): Promise<void> {
  if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR_MIN) {
    await import('#jobs/main.ts');
    return;
  }
  const node = join(dirname(createRequire(import.meta.url).resolve('node/package.json')), 'bin/node');
  const main = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './main.ts' : './main.js', import.meta.url));
  const child = spawn(node, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
  // A terminal interrupts both, and what comes twice at once counts once; `kill` reaches only the one that was started.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`millrace: the Node that belongs to it cannot be started: ${error.message}\n`);
    process.stderr.write(
      "  remedy: let npm run the install script of package 'node', or start millrace with Node 24\n",
    );
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? (signal === 'SIGKILL' ? 137 : 1);
  });
}

await launch();
