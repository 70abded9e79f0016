// Owns a real S3 server for tests: S3Proxy on a directory, fetched once by Maven into a cache that all runs share, started
// on a free port of the loopback address. It verifies signatures and conditions of writes.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);
const CACHE = join(import.meta.dirname, '../../node_modules/.cache/millrace');
const START_MS = 60_000;

/** Its own version of the annotations is older than its Jackson wants. */
const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>millrace</groupId><artifactId>s3</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.gaul</groupId><artifactId>s3proxy</artifactId><version>4.1.0</version></dependency>
    <dependency><groupId>com.fasterxml.jackson.core</groupId><artifactId>jackson-annotations</artifactId><version>2.21</version></dependency>
  </dependencies>
</project>
`;

export interface S3Server {
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** What it printed so far. */
  printed(): Promise<string>;
  stop(): Promise<void>;
}

async function jars(): Promise<string> {
  const directory = join(CACHE, `s3proxy-${createHash('sha256').update(POM).digest('hex').slice(0, 12)}`);
  if (existsSync(directory)) return directory;
  await mkdir(CACHE, { recursive: true });
  const work = await mkdtemp(join(CACHE, 'fetch-'));
  try {
    await writeFile(join(work, 'pom.xml'), POM);
    const outputDirectory = `-DoutputDirectory=${join(work, 'jars')}`;
    await run('mvn', ['-q', '-B', 'dependency:copy-dependencies', outputDirectory], { cwd: work });
    await rename(join(work, 'jars'), directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } catch (cause) {
    const needed = 'Maven, and Java 17 or newer, fetch and run S3Proxy; neither another S3 nor a mock takes its place';
    throw new Error(`there is no S3 server for this test run: ${needed}`, { cause });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return directory;
}

/** Starts an empty server. */
export async function startS3Server(): Promise<S3Server> {
  const classPath = join(await jars(), '*');
  const directory = await mkdtemp(join(tmpdir(), 'millrace-s3-'));
  const data = join(directory, 'data');
  await mkdir(data);
  const endpoint = `http://127.0.0.1:${await freePort()}`;
  const [accessKeyId, secretAccessKey] = [randomBytes(8).toString('hex'), randomBytes(16).toString('hex')];
  const settings = {
    's3proxy.endpoint': endpoint,
    's3proxy.authorization': 'aws-v4',
    's3proxy.identity': accessKeyId,
    's3proxy.credential': secretAccessKey,
    'jclouds.provider': 'filesystem-nio2',
    'jclouds.filesystem.basedir': data,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  const properties = join(directory, 's3proxy.conf');
  await writeFile(properties, `${lines.join('\n')}\n`);
  const output = join(directory, 'output.txt');
  const command = `exec java -Xmx256m -DLOG_LEVEL=warn -cp "$0" org.gaul.s3proxy.Main --properties "$1" > "$2" 2>&1`;
  const child = spawn('sh', ['-c', command, classPath, properties, output], { stdio: 'ignore' });
  const server: S3Server = {
    endpoint,
    accessKeyId,
    secretAccessKey,
    printed: () => readFile(output, 'utf8').catch(() => ''),
    async stop() {
      await ended(child);
      await rm(directory, { recursive: true, force: true });
    },
  };
  await answering(server, child);
  return server;
}

async function answering(server: S3Server, child: ChildProcess): Promise<void> {
  for (const deadline = Date.now() + START_MS; ; await sleep(100)) {
    const answer = await fetch(server.endpoint).catch(() => null);
    if (answer !== null) return;
    if (child.exitCode === null && Date.now() < deadline) continue;
    const printed = (await server.printed()).slice(-2_000);
    await server.stop();
    throw new Error(`the S3 server did not start:\n${printed}`);
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exited;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
