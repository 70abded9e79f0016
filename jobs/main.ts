#!/usr/bin/env node
// Owns the command `millrace`: runs what the command line asks for and turns errors into a message, a remedy and an
// exit code. With env() the only place that reads the environment.

import { enableCompileCache } from 'node:module';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Command, parseCommandLine, USAGE } from '#jobs/command-line.ts';
import { compileJob } from '#jobs/compile.ts';
import { explain } from '#jobs/explain.ts';
import { runGeneratedLoad } from '#jobs/generated-load.ts';
import { type LoadedInstallation, loadDefinition, loadInstallation } from '#jobs/load-job.ts';
import { printRows } from '#jobs/row-printer.ts';
import type { MillraceProcess } from '#jobs/run-process.ts';
import { startBanner } from '#jobs/start-banner.ts';
import { engineVersion } from '#jobs/version.ts';
import { atMost } from '#runtime/std/at-most.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';
import { createLogger, type LogLevel } from '#runtime/std/pino-logger.ts';
import { describe, type Failure } from '#runtime/task/task-supervisor.ts';

const DONE = 0;
const FAILED = 1;
const WRONG_USAGE = 2;

const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent'];
const GENERATED_PARTITIONS = 4;
/** How long the end waits for generated load that hangs in its log. */
const LOAD_PATIENCE_MS = 1_000;

/** Of what is loaded from here on, slots included; Node leaves it out where it cannot be written. */
const COMPILE_CACHE = fileURLToPath(new URL('../node_modules/.cache/millrace/compile', import.meta.url));

async function main(argv: readonly string[]): Promise<number> {
  // Stripped types and compiled code are kept between starts: 110 ms of CPU for a slot instead of 260.
  process.env['NODE_COMPILE_CACHE'] ??= COMPILE_CACHE;
  enableCompileCache(process.env['NODE_COMPILE_CACHE']);
  const command = parseCommandLine(argv);
  switch (command.kind) {
    case 'help':
      process.stdout.write(USAGE);
      return DONE;
    case 'version':
      process.stdout.write(`${engineVersion()}\n`);
      return DONE;
    case 'wrong':
      process.stderr.write(`millrace: ${command.message}\n  remedy: see millrace --help\n`);
      return WRONG_USAGE;
    case 'explain':
      return explainModule(command);
    case 'up':
      return up(command);
  }
}

async function explainModule(command: Extract<Command, { kind: 'explain' }>): Promise<number> {
  const { plan, settings } = compileJob(await loadDefinition(resolve(command.module), command.options));
  process.stdout.write(command.json ? `${JSON.stringify({ plan, settings }, null, 2)}\n` : explain(plan, settings));
  return DONE;
}

async function up(command: Extract<Command, { kind: 'up' }>): Promise<number> {
  const logLevel = readLogLevel();
  const installation = await loadInstallation({
    configPath: command.config,
    workingDirectory: process.cwd(),
    environment: process.env,
    flags: command.flags,
    acceptDivergentReplay: command.acceptDivergentReplay,
  });
  const logger = createLogger({ level: logLevel });
  // Loaded only now: explain and wrong configurations need neither Kafka nor threads.
  const { MillraceProcess } = await import('#jobs/run-process.ts');
  const { AdminHttp } = await import('#jobs/admin-http.ts');
  const { http } = installation.configuration;
  const admin = http === null ? null : new AdminHttp(http, logger);
  const createSource = command.generate ? GENERATED_PARTITIONS : null;
  const asked = interruption();
  let running: MillraceProcess;
  try {
    running = await MillraceProcess.start({
      installation,
      logger,
      logLevel,
      pretty: true,
      createSource,
      signal: asked.signal,
      opened: async (source) => admin?.open(source),
    });
    admin?.started();
  } catch (error) {
    await admin?.close();
    if (asked.signal.aborted) return DONE;
    throw error;
  }
  if (command.generate) {
    process.stdout.write(
      startBanner({
        version: engineVersion(),
        log: installation.configuration.log,
        jobs: installation.jobs.map((job) => job.compiled.plan),
        url: admin?.url ?? null,
        workingDirectory: process.cwd(),
      }),
    );
  }
  const stopping = new AbortController();
  const load = command.generate ? generate(running, installation, logger, stopping.signal) : Promise.resolve();
  try {
    await Promise.race([running.ended, asked.heard, load.then(() => running.ended)]);
  } finally {
    stopping.abort();
    await Promise.all([atMost(systemClock, LOAD_PATIENCE_MS, load).catch(() => {}), running.stop()]);
    await admin?.close();
  }
  for (const failure of running.failures) say(failure);
  return running.failures.length === 0 ? DONE : FAILED;
}

/** Load into the first job's source, and the rows of all jobs on standard output. */
async function generate(
  running: MillraceProcess,
  installation: LoadedInstallation,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { configuration, jobs } = installation;
  const plans = jobs.map((job) => job.compiled.plan);
  const steps = plans.flatMap((plan) => plan.stages.flatMap((stage) => stage.steps));
  const topics = steps.flatMap((step) => (step.kind === 'topic' ? [step.topic] : []));
  const shared = { log: running.log, clock: systemClock, signal };
  const { namespace } = configuration;
  await Promise.all([
    runGeneratedLoad({ ...shared, namespace, logger, topic: plans[0].sources[0].topic }),
    printRows({ ...shared, topics, write: (text) => process.stdout.write(text) }),
  ]);
}

/** The first interrupt or termination asks for a clean stop, the second ends the process at once. */
function interruption(): { readonly signal: AbortSignal; readonly heard: Promise<void> } {
  const asked = new AbortController();
  const heard = new Promise<void>((resolve) => {
    const hear = () => {
      if (asked.signal.aborted) process.exit(130);
      process.stderr.write('millrace: stopping; once more to end at once\n');
      asked.abort();
      resolve();
    };
    process.on('SIGINT', hear);
    process.on('SIGTERM', hear);
    // Whoever read the rows has gone (`| head`): that is no reason to leave without a checkpoint.
    process.stdout.on('error', () => {
      if (!asked.signal.aborted) hear();
    });
  });
  return { signal: asked.signal, heard };
}

function readLogLevel(): LogLevel {
  const given = process.env['LOG_LEVEL'] || 'info';
  const level = LOG_LEVELS.find((candidate) => candidate === given);
  if (level !== undefined) return level;
  throw new StreamError(
    'config-invalid',
    `LOG_LEVEL '${given}' is not possible`,
    `choose one of ${LOG_LEVELS.join(', ')}`,
  );
}

function report(error: unknown): number {
  say(describe(error));
  return FAILED;
}

/** What went wrong and what to do about it; the stack only for those who debug. */
function say({ message, remedy, stack }: Failure): void {
  const what = remedy || 'this is a bug of Millrace or of the job: report it with the output of LOG_LEVEL=debug';
  const where = process.env['LOG_LEVEL'] === 'debug' ? `${stack}\n` : '';
  process.stderr.write(`millrace: ${message}\n  remedy: ${what}\n${where}`);
}

// By now everything is closed and said; a socket that lingers must not keep the process.
process.exit(await main(process.argv.slice(2)).catch(report));
