// Owns an AdminPort made by hand, in which every field of every view says something: the edge that HTTP is tested with.
// What it is asked is written down; any answer can be replaced.

import type {
  AdminPort,
  ChangeTerms,
  CheckpointRefView,
  FaultView,
  JobDetailView,
  JobPatchView,
  JobView,
  RequestStateName,
  RequestView,
  StateQueryView,
  TaskView,
} from '#runtime/http/contract.ts';
import type {
  DeployAskedView,
  DeployedView,
  DeployPlanView,
  RollbackAskedView,
  SavepointView,
} from '#runtime/http/deploy-contract.ts';
import { StreamError } from '#runtime/std/errors.ts';

const FAULT: FaultView = { code: 'operator-failed', message: 'window threw', remedy: 'correct it' };
const CHECKPOINT: CheckpointRefView = { entry: 41, createdMs: 1_700_000_000_000, sizeBytes: 4_096 };
const RATES = { recordsIn: 1_000.5, recordsOut: 20, recordsLate: 0.25, recordsBad: 0 };

const RUNNING: JobView = {
  name: 'rollups',
  state: 'RUNNING',
  version: 'a1b2c3',
  parallelism: 2,
  tasks: { total: 8, running: 8 },
  lagRecords: 12_345,
  lagMs: 1_250,
  watermarkMs: 1_700_000_055_000,
  watermarkDelayMs: 5_250,
  lastCheckpoint: CHECKPOINT,
  perSecond: RATES,
  restarts: 1,
  failure: null,
};
const FAILED: JobView = {
  ...RUNNING,
  name: 'tsdb-writer',
  state: 'FAILED',
  version: null,
  tasks: { total: 0, running: 0 },
  lagRecords: null,
  lagMs: null,
  watermarkMs: null,
  watermarkDelayMs: null,
  lastCheckpoint: null,
  failure: FAULT,
};
const TASK: TaskView = {
  stage: '1m',
  partition: 0,
  process: '01HPROCESS',
  slot: 1,
  phase: 'running',
  inputs: [
    { topic: '__millrace.rollups.1m', partition: 0, offset: '9007199254740993', lagRecords: 7, lagMs: 20 },
    { topic: 'metrics.raw', partition: 3, offset: '0', lagRecords: null, lagMs: null },
  ],
  watermarkMs: 1_700_000_055_000,
  watermarkHeldBy: [3],
  entry: 42,
  lastCheckpoint: CHECKPOINT,
  perSecond: RATES,
  totals: { recordsIn: 5_000_000, recordsOut: 80_000, recordsLate: 3, recordsBad: 1 },
  restarts: 0,
  waitingFor: null,
};

export const KEY = 'cpu{host="ä&b=c+d%",path="/x?y#z"}';

const SAVEPOINT: SavepointView = {
  id: '01jd0000000000000000000000',
  createdMs: 1_700_000_000_000,
  version: '0123456789abcdef',
  generation: 0,
  tasks: 1,
  sizeBytes: 1_024,
  watermarkMs: null,
};

export class HandMadePort implements AdminPort {
  readonly asked: string[] = [];
  stateQueries: StateQueryView[] = [];
  ready = true;
  /** Of the state of every key. */
  states: Readonly<Record<string, unknown>> = { windows: [{ start: 1, end: 2, count: 3, p50: null }] };
  settings: Readonly<Record<string, unknown>> = { commitIntervalMs: 200 };
  lagRecords = 12_345;
  revision = 3;
  /** How the next change, or request, is. */
  requestState: RequestStateName = 'RUNNING';
  /** How it is when it is asked for, one after the other. */
  readonly requestStates: RequestStateName[] = [];
  readonly changes: object[] = [];
  readonly #given = new Set<string>();
  /** Thrown by everything that is asked. */
  fault: Error | null = null;
  /** Every answer waits for it. */
  gate: Promise<void> = Promise.resolve();

  async #ask<T>(what: string, answer: T): Promise<T> {
    this.asked.push(what);
    await this.gate;
    if (this.fault !== null) throw this.fault;
    return answer;
  }

  overview() {
    return this.#ask('overview', {
      version: '0.1.0',
      namespace: 'millrace',
      process: '01HPROCESS',
      installation: null,
      log: 'embedded',
      startedMs: 1_700_000_000_000,
      slots: { total: 2, running: 2 },
      tasks: { total: 8, running: 8 },
      jobs: { RUNNING: 1, FAILED: 1 },
    } as const);
  }

  configuration() {
    return this.#ask('configuration', { namespace: 'millrace', log: { kind: 'embedded' }, jobs: [] });
  }

  jobs() {
    return this.#ask('jobs', [{ ...RUNNING, lagRecords: this.lagRecords }, FAILED]);
  }

  job(name: string): Promise<JobDetailView | null> {
    const detail: JobDetailView = {
      ...RUNNING,
      lagRecords: this.lagRecords,
      desiredState: 'RUNNING',
      revision: this.revision,
      request: 'r-1',
      module: './jobs/rollups.ts',
      stages: [{ id: '1m', parallelism: 4, input: 'exchange 1m', operators: ['1m', '1h'] }],
      settings: this.settings,
      taskList: [
        TASK,
        { ...TASK, partition: 1, slot: null, watermarkMs: null, lastCheckpoint: null, waitingFor: 'log' },
      ],
    };
    return this.#ask(`job ${name}`, name === 'rollups' ? detail : null);
  }

  plan(name: string) {
    return this.#ask(`plan ${name}`, name === 'rollups' ? { plan: { job: name }, text: 'rollups\n' } : null);
  }

  checkpoints(name: string) {
    const checkpoint = { stage: '1m', partition: 0, entry: 41, createdMs: 1_700_000_000_000, durationMs: 12.5 };
    const view = {
      counts: { completed: 3, failed: 1, inProgress: 0 },
      stateBytes: 123_456,
      history: [
        { ...checkpoint, result: 'failed', sizeBytes: 0, failure: FAULT },
        { ...checkpoint, result: 'completed', sizeBytes: 4_096, failure: null },
      ],
    } as const;
    return this.#ask(`checkpoints ${name}`, name === 'rollups' ? view : null);
  }

  exceptions(name: string) {
    const exception = { ...FAULT, firstMs: 1_700_000_000_000, lastMs: 1_700_000_001_000, count: 2 };
    const exceptions = [
      { ...exception, stage: '1m', partition: 3 },
      { ...exception, stage: null, partition: null },
    ];
    return this.#ask(`exceptions ${name}`, name === 'rollups' ? { failure: FAULT, exceptions } : null);
  }

  stateOperators(name: string) {
    return this.#ask(`operators ${name}`, name === 'rollups' ? ['1m', '1h'] : null);
  }

  state(name: string, operator: string, query: StateQueryView) {
    this.stateQueries.push(query);
    const key = { key: query.key ?? KEY, partition: 2, states: this.states, eventTimersMs: [2], clockTimersMs: [3] };
    const view = {
      job: name,
      stage: '1m',
      operator,
      readAt: [
        { partition: 0, entry: 42, watermarkMs: 1_700_000_055_000 },
        { partition: 1, entry: -1, watermarkMs: null },
      ],
      keys: [key],
      next: query.key === undefined && query.after === undefined ? '2.17' : null,
    };
    return this.#ask(`state ${name} ${operator}`, name === 'rollups' && operator === '1m' ? view : null);
  }

  patchJob(name: string, patch: JobPatchView, terms: ChangeTerms) {
    this.changes.push({ ...patch, ...terms });
    return this.#ask(`patch ${name}`, name === 'rollups' ? this.#request(terms.requestId) : null);
  }

  cancelJob(name: string, purge: boolean, terms: ChangeTerms) {
    this.changes.push({ purge, ...terms });
    return this.#ask(`cancel ${name}`, name === 'rollups' ? this.#request(terms.requestId) : null);
  }

  checkpointJob(name: string, terms: ChangeTerms) {
    this.changes.push({ checkpoint: true, ...terms });
    return this.#ask(`checkpoint ${name}`, name === 'rollups' ? this.#request(terms.requestId) : null);
  }

  savepoints(name: string) {
    return this.#ask(`savepoints ${name}`, name === 'rollups' ? [SAVEPOINT] : null);
  }

  savepoint(name: string, id: string) {
    if (name === 'rollups' && id !== SAVEPOINT.id) {
      throw new StreamError('savepoint-unknown', `job rollups has no savepoint '${id}'`, 'take another savepoint');
    }
    const inputs = [{ topic: 'metrics.raw', partition: 3, offset: '120' }];
    const task = { stage: '1m', partition: 3, entry: 7, sizeBytes: 1_024, watermarkMs: null, inputs };
    return this.#ask(`savepoint ${name} ${id}`, name === 'rollups' ? { ...SAVEPOINT, taskList: [task] } : null);
  }

  savepointJob(name: string, terms: ChangeTerms) {
    this.changes.push({ savepoint: true, ...terms });
    return this.#ask(`savepoint ${name}`, name === 'rollups' ? this.#request(terms.requestId) : null);
  }

  deleteSavepoint(name: string, id: string, terms: ChangeTerms) {
    this.changes.push({ delete: id, ...terms });
    return this.#ask(`delete savepoint ${name} ${id}`, name === 'rollups' ? this.#request(terms.requestId) : null);
  }

  deployJob({ bundle: _, ...asked }: DeployAskedView, terms: ChangeTerms) {
    this.changes.push({ deploy: asked, ...terms });
    return this.#ask('deploy', this.#deployed(asked.dryRun === true, terms.requestId));
  }

  rollbackJob(name: string, asked: RollbackAskedView, terms: ChangeTerms) {
    this.changes.push({ rollback: asked, ...terms });
    return this.#ask(
      `rollback ${name}`,
      name === 'rollups' ? this.#deployed(asked.dryRun === true, terms.requestId) : null,
    );
  }

  versions(name: string) {
    const current = {
      ...{ version: '0123456789abcdef', current: true, sinceMs: 1_700_000_000_000, module: 'jobs/rollups.ts' },
      ...{ deployed: true, generation: 1, engine: '0.1.0', node: 24, kept: true },
    };
    const first = { ...current, version: 'fedcba9876543210', current: false, engine: null, node: null };
    return this.#ask(`versions ${name}`, name === 'rollups' ? [current, first] : null);
  }

  #deployed(dryRun: boolean, requestId: string | null): DeployedView {
    const refused = this.requestState === 'FAILED';
    const plan: DeployPlanView = {
      job: 'rollups',
      revision: 3,
      from: refused ? null : 'fedcba9876543210',
      version: '0123456789abcdef',
      way: refused ? 'generation' : 'handover',
      reasons: refused ? ["stage '1m' gets 8 tasks, and had 4"] : [],
      savepoint: refused ? SAVEPOINT.id : null,
      publishesAgain: refused,
      states: [
        { stage: '1m', operator: '1m', stateId: '1m.panes', change: 'migrated', from: 1, to: 2 },
        { stage: '1m', operator: 'seen', stateId: 'seen.last', change: 'dropped', from: null, to: null },
      ],
      failure: refused ? FAULT : null,
    };
    if (dryRun) return { requestId: null, plan, request: null };
    const request = this.#request(requestId);
    return { requestId: request.requestId, plan, request };
  }

  request(requestId: string) {
    const next = this.requestStates.shift();
    if (next !== undefined) this.requestState = next;
    const known = requestId === 'r-1' || this.#given.has(requestId);
    return this.#ask(`request ${requestId}`, known ? this.#request(requestId) : null);
  }

  #request(requestId: string | null): RequestView {
    this.#given.add(requestId ?? 'made');
    const runs = this.requestState === 'RUNNING';
    const pause = { stage: '1m', partition: 3, fromSlot: 0, toSlot: 1 };
    return {
      requestId: requestId ?? 'made',
      job: 'rollups',
      operation: 'rescale',
      parameters: { parallelism: 4 },
      state: this.requestState,
      acceptedMs: 1_700_000_000_000,
      endedMs: runs ? null : 1_700_000_001_000,
      progress: runs ? { done: 1, total: 8 } : null,
      message: runs ? null : 'spread over 4 slots',
      failure: this.requestState === 'FAILED' ? FAULT : null,
      pauses: runs
        ? []
        : [
            { ...pause, pauseMs: 120.5 },
            { ...pause, pauseMs: null },
          ],
      savepoint: runs ? null : SAVEPOINT.id,
    };
  }

  readiness() {
    const job = { job: 'tsdb-writer', state: 'FAILED', reason: 'window threw', remedy: 'correct it' } as const;
    return this.#ask('readiness', { ready: this.ready, jobs: this.ready ? [] : [job] });
  }

  metrics() {
    return this.#ask('metrics', '# HELP millrace_commits_total Commits.\nmillrace_commits_total{job="rollups"} 7\n');
  }
}
