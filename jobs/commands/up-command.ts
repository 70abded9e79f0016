// Owns `millrace up` and `millrace start`: one process from its configuration to its orderly end, with its admin API,
// signals and, for `start`, generated load. What the process does is run-process.ts's affair.

import type { Command } from '#jobs/command-line.ts';
import { runGeneratedLoad } from '#jobs/generated-load.ts';
import { type LoadedInstallation, loadInstallation } from '#jobs/load-job.ts';
import { printRows } from '#jobs/row-printer.ts';
import type { MillraceProcess } from '#jobs/run-process.ts';
import { startBanner } from '#jobs/start-banner.ts';
import { engineVersion } from '#jobs/version.ts';
import { atMost } from '#runtime/std/at-most.ts';
import { systemClock } from '#runtime/std/clock.ts';
import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';
import { createLogger, type LogLevel } from '#runtime/std/pino-logger.ts';
import type { Failure } from '#runtime/task/task-supervisor.ts';

export interface UpEdges {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingDirectory: string;
}

const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent'];
const GENERATED_PARTITIONS = 4;
/** One wish for the end arrives more than once: from a terminal and from what it was started with, npm or `timeout`. */
const ECHO_MS = 200;
/** How long the end waits for generated load that hangs in its log. */
const LOAD_PATIENCE_MS = 1_000;

/** Runs until the jobs end or somebody asks for the end; says what failed. Throws what keeps the process from starting. */
export async function up(command: Extract<Command, { kind: 'up' }>, edges: UpEdges): Promise<readonly Failure[]> {
  const { environment, workingDirectory } = edges;
  const logLevel = readLogLevel(environment['LOG_LEVEL']);
  const installation = await loadInstallation({
    configPath: command.config,
    workingDirectory,
    environment,
    flags: command.flags,
    acceptDivergentReplay: command.acceptDivergentReplay,
  });
  const logger = createLogger({ level: logLevel });
  // Loaded only now: a wrong configuration needs neither Kafka nor threads.
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
      address: () => admin?.address ?? '',
    });
    admin?.started();
  } catch (error) {
    await admin?.close();
    if (asked.signal.aborted) return [];
    throw error;
  }
  if (command.generate) {
    process.stdout.write(
      startBanner({
        version: engineVersion(),
        log: installation.configuration.log,
        jobs: installation.jobs.map((job) => job.compiled.plan),
        url: admin?.url ?? null,
        workingDirectory,
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
  return running.failures;
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
    let heardMs = 0;
    const hear = () => {
      const nowMs = systemClock.monotonicMs();
      if (asked.signal.aborted && nowMs - heardMs < ECHO_MS) return;
      if (asked.signal.aborted) process.exit(130);
      heardMs = nowMs;
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

function readLogLevel(set: string | undefined): LogLevel {
  const given = set || 'info';
  const level = LOG_LEVELS.find((candidate) => candidate === given);
  if (level !== undefined) return level;
  throw new StreamError(
    'config-invalid',
    `LOG_LEVEL '${given}' is not possible`,
    `choose one of ${LOG_LEVELS.join(', ')}`,
  );
}
