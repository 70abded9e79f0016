// Owns one Apache Kafka broker as a child process: its directory, configuration, start, SIGTERM and SIGKILL. A broker
// never outlives this process: a shell beside it kills it when our end of its input pipe closes, whatever ended us.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface BrokerPlan {
  readonly index: number;
  readonly port: number;
  readonly controllerPort: number;
  readonly directory: string;
  readonly jars: string;
  /** `id@host:port` of every controller of the cluster. */
  readonly voters: string;
  readonly clusterId: string;
  readonly heapMiB: number;
  readonly config: Readonly<Record<string, string>>;
  /** Feature levels to start with, `transaction.version=1` for example. */
  readonly features: readonly string[];
}

// Input of the watcher is ours: when it ends, the broker is killed. `$1` is the file for the broker's process id.
const WATCHED = 'exec 3<&0; pidfile=$1; shift; "$@" </dev/null 3<&- & pid=$!; echo $pid >"$pidfile"; '.concat(
  '(cat <&3 >/dev/null; kill -KILL $pid) >/dev/null 2>&1 & exec 3<&-; wait $pid',
);

const LOG4J = `status: error
Configuration:
  Appenders:
    Console: { name: out, target: SYSTEM_OUT, PatternLayout: { pattern: "%d{HH:mm:ss.SSS} %p %c{1} %m%n" } }
  Loggers:
    Root: { level: WARN, AppenderRef: { ref: out } }
`;

export class BrokerProcess {
  readonly plan: BrokerPlan;
  #child: ChildProcess | null = null;

  constructor(plan: BrokerPlan) {
    this.plan = plan;
  }

  get address(): string {
    return `127.0.0.1:${this.plan.port}`;
  }

  /** Writes the configuration and formats the storage; once per broker. */
  async format(): Promise<void> {
    const { plan } = this;
    await mkdir(plan.directory, { recursive: true });
    const config: Record<string, string> = {
      'process.roles': 'broker,controller',
      'node.id': String(plan.index + 1),
      'controller.quorum.voters': plan.voters,
      listeners: `PLAINTEXT://127.0.0.1:${plan.port},CONTROLLER://127.0.0.1:${plan.controllerPort}`,
      'advertised.listeners': `PLAINTEXT://127.0.0.1:${plan.port}`,
      'controller.listener.names': 'CONTROLLER',
      'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
      'log.dirs': join(plan.directory, 'data'),
      ...plan.config,
    };
    const lines = Object.entries(config).map(([key, value]) => `${key}=${value}\n`);
    await writeFile(join(plan.directory, 'server.properties'), lines.join(''));
    await writeFile(join(plan.directory, 'log4j2.yaml'), LOG4J);
    const format = ['kafka.tools.StorageTool', 'format', '-t', plan.clusterId, '-c', 'server.properties'];
    const features = plan.features.flatMap((feature) => ['--feature', feature]);
    const child = this.#java(['-Xmx128m', ...this.#jvm(), ...format, ...features], 'format.log');
    const [code] = await once(child, 'exit');
    if (code !== 0) throw new Error(`formatting of Kafka failed: ${await this.#tail('format.log')}`);
  }

  /** Starts the process and waits until it accepts connections. */
  async start(timeoutMs = 60_000): Promise<void> {
    if (this.#child !== null) return;
    const heap = [`-Xmx${this.plan.heapMiB}m`, '-Xms64m'];
    const child = this.#java([...heap, ...this.#jvm(), 'kafka.Kafka', 'server.properties'], 'server.log');
    this.#child = child;
    child.once('exit', () => {
      if (this.#child === child) this.#child = null;
    });
    const deadline = Date.now() + timeoutMs;
    while (!(await answers(this.plan.port))) {
      if (this.#child !== child) throw new Error(`Kafka ended at its start: ${await this.#tail('server.log')}`);
      if (Date.now() > deadline) throw new Error(`Kafka did not start: ${await this.#tail('server.log')}`);
      await sleep(50);
    }
  }

  /** Clean shutdown by SIGTERM. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    const exited = once(child, 'exit');
    const pid = Number(await readFile(join(this.plan.directory, 'pid'), 'utf8'));
    try {
      process.kill(pid, 'SIGTERM');
    } catch {
      // it is gone already
    }
    await exited;
    child.stdin?.destroy();
  }

  /** SIGKILL: the end of the watcher's input has the broker killed. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    const exited = once(child, 'exit');
    child.stdin?.destroy();
    await exited;
  }

  #jvm(): string[] {
    const log4j = `-Dlog4j2.configurationFile=${join(this.plan.directory, 'log4j2.yaml')}`;
    return ['-XX:+UseSerialGC', '-XX:-UsePerfData', '-Xshare:auto', log4j, '-cp', join(this.plan.jars, '*')];
  }

  #java(args: readonly string[], log: string): ChildProcess {
    const { directory } = this.plan;
    const child = spawn('sh', ['-c', WATCHED, 'sh', join(directory, 'pid'), 'java', ...args], {
      cwd: directory,
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    const out = createWriteStream(join(directory, log), { flags: 'a' });
    child.stdout?.pipe(out, { end: false });
    child.stderr?.pipe(out, { end: false });
    child.stdin?.on('error', () => {});
    child.once('close', () => out.end());
    child.once('exit', () => child.stdin?.destroy());
    return child;
  }

  async #tail(log: string): Promise<string> {
    const text = await readFile(join(this.plan.directory, log), 'utf8').catch(() => '');
    return text.slice(-2000);
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    const end = (result: boolean) => {
      socket.destroy();
      resolve(result);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}
