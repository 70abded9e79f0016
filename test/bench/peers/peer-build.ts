// Owns the peers: where their sources are (MILLRACE_PEERS, or a `shared/peers` beside the repository), a built copy in
// the cache, and running one of their programs. Their README says what they do; nothing of theirs is kept here.

import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { runMeasured } from '../child-usage.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const CACHE = join(ROOT, 'node_modules/.cache/millrace');

/** Directory with the peers' sources, or null. */
export function peerSources(): string | null {
  const directory = resolve(process.env['MILLRACE_PEERS'] ?? join(ROOT, '../shared/peers'));
  return existsSync(join(directory, 'pom.xml')) ? directory : null;
}

/** Builds a copy of the sources, once per state of them; returns its directory. Needs Maven and a JDK 17 or newer. */
export async function buildPeers(sources: string): Promise<string> {
  const hash = createHash('sha256');
  for (const name of readdirSync(sources, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(sources, name);
    if (statSync(path).isFile()) hash.update(`${name}\0`).update(readFileSync(path));
  }
  const built = join(CACHE, `peers-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(built)) return built;
  const work = `${built}-${process.pid}`;
  mkdirSync(CACHE, { recursive: true });
  try {
    cpSync(sources, work, { recursive: true });
    await runMeasured('chmod', ['-R', 'u+w', work]);
    await runMeasured('mvn', ['-q', '-B', 'package', '-pl', 'common,flink'], { cwd: work });
    renameSync(work, built);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return built;
}

export interface PeerSettings {
  readonly built: string;
  readonly module: 'common' | 'flink';
  readonly main: string;
  readonly jvm: readonly string[];
  readonly args?: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Runs one program of the peers to its end. */
export function runPeer({ built, module, main, jvm, args, env }: PeerSettings) {
  const target = join(built, module, 'target');
  const classPath = `${join(target, `${module}-1.jar`)}:${join(target, 'lib')}/*`;
  return runMeasured('java', [...jvm, '-cp', classPath, `anchors.${main}`, ...(args ?? [])], { env });
}

/** The `name=number` pairs of a manifest or of a RESULT line. */
export function readPairs(text: string): ReadonlyMap<string, number> {
  const pairs = [...text.matchAll(/(\w+)=(-?\d+(?:\.\d+)?(?:E-?\d+)?)(?=\s|$)/g)];
  return new Map(pairs.map(([, name, value]) => [name, Number(value)]));
}
