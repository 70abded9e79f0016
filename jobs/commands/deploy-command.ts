// Owns the commands that change the version of a job: packing the module, telling what would happen before anything stops,
// asking where it is needed, and waiting for the end. The change is made by the process.

import { randomUUID } from 'node:crypto';
import { basename, resolve } from 'node:path';
import { packBundle } from '#jobs/bundle.ts';
import type { ApiFlags, DeployAsked } from '#jobs/command-line.ts';
import { type ApiAccess, type ApiChange, askApi } from '#jobs/commands/api-client.ts';
import { type ChangeEdges, outcomeOf, send, untilEnd } from '#jobs/commands/change-command.ts';
import { deployPlanText } from '#jobs/commands/deploy-text.ts';
import { printable, printableLines } from '#jobs/commands/human-text.ts';
import type { DeployedView, JobVersionView } from '#runtime/http/deploy-contract.ts';
import { ERROR_CODES, type ErrorCode, StreamError } from '#runtime/std/errors.ts';

export interface DeployEdges extends ChangeEdges {
  readonly workingDirectory: string;
  /** Shows text before the command has anything to print. */
  readonly say: (text: string) => void;
  /** Asks a person; null: nobody is there. */
  readonly confirm: ((question: string) => Promise<boolean>) | null;
}

/** Modules are loaded by the process, and state is looked at. */
const PLAN_MS = 60_000;

/** What the command prints. Errors: those of the API and of the change; job-invalid, version-unknown. */
export async function deploy(command: DeployAsked & ApiFlags, edges: DeployEdges): Promise<string> {
  const access: ApiAccess = { url: command.url, environment: edges.environment, timeoutMs: PLAN_MS };
  const asked = await askedOf(command, access, edges);
  const { plan } = await askApi<DeployedView>(access, asked.path, change(asked.body, { dryRun: true }, {}));
  if (!command.json) edges.say(deployPlanText(plan));
  if (plan.failure !== null) throw refused(plan.failure);
  if (command.dryRun) return command.json ? `${JSON.stringify({ plan }, null, 2)}\n` : '';
  if (plan.publishesAgain && !command.yes) await confirmed(plan.job, plan.savepoint, edges);
  const headers = {
    'idempotency-key': command.requestId ?? randomUUID(),
    ...(plan.revision > 0 && { 'if-match': `"${plan.revision}"` }),
  };
  const begun = await send<DeployedView>(
    access,
    asked.path,
    change(asked.body, { publishAgain: plan.publishesAgain }, headers),
    edges,
  );
  if (begun.request === null) throw strange();
  const request = await untilEnd(begun.request, access, edges);
  const text = outcomeOf(request);
  return command.json ? `${JSON.stringify({ plan, request }, null, 2)}\n` : text;
}

interface AskedDeploy {
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
}

async function askedOf(command: DeployAsked, access: ApiAccess, edges: DeployEdges): Promise<AskedDeploy> {
  const { allowDroppedState, fromSavepoint, job, module, options } = command;
  const how = { ...(allowDroppedState && { allowDroppedState }), ...(fromSavepoint !== null && { fromSavepoint }) };
  if (job === null) {
    const path = resolve(edges.workingDirectory, module ?? '');
    const sent = { bundle: packBundle(path), module: basename(path), ...(options !== null && { options }) };
    return { path: '/jobs', body: { ...sent, ...how } };
  }
  const of = `/jobs/${encodeURIComponent(job)}`;
  const version = command.version ?? (await versionBefore(access, of, job));
  return { path: `${of}/rollback`, body: { version, ...how } };
}

/** The newest that is another one than that which counts. */
async function versionBefore(access: ApiAccess, path: string, job: string): Promise<string> {
  const { versions } = await askApi<{ readonly versions: readonly JobVersionView[] }>(access, `${path}/versions`);
  const before = versions.find(({ kept, version }) => kept && version !== versions[0].version);
  if (before !== undefined) return before.version;
  const message = `job ${printable(job)} has no version before, of which the module is kept`;
  throw new StreamError('version-unknown', message, 'deploy a module: millrace deploy MODULE');
}

function change(
  body: AskedDeploy['body'],
  more: Readonly<Record<string, unknown>>,
  headers: ApiChange['headers'],
): ApiChange {
  return { method: 'POST', body: { ...body, ...more }, headers };
}

async function confirmed(job: string, savepoint: string | null, { confirm }: DeployEdges): Promise<void> {
  const what = `what ${printable(job)} published behind savepoint ${printable(savepoint ?? '')} is published a second time`;
  if (confirm !== null && (await confirm(`${what}. Go on? [y/N] `))) return;
  throw new StreamError('request-invalid', `not confirmed: ${what}`, 'say that it is meant with --yes');
}

function refused({ code, message, remedy }: NonNullable<DeployedView['plan']['failure']>): StreamError {
  const known = Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : 'version-mismatch';
  return new StreamError(known, printableLines(message), printableLines(remedy));
}

function strange(): StreamError {
  const remedy = 'run the same version of Millrace here and there';
  return new StreamError('api-foreign', 'what answers took a deploy for a dry run', remedy);
}
