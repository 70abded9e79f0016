// Owns the schemas of savepoints, deploys and versions, as the OpenAPI document lists them beside those of the other views.

import type {
  DeployAskedView,
  DeployedView,
  DeployPlanView,
  DeployWayName,
  JobVersionView,
  RollbackAskedView,
  SavepointDetailView,
  SavepointTaskView,
  SavepointView,
  StateChangeView,
} from '#runtime/http/deploy-contract.ts';
import {
  count,
  flag,
  list,
  moment,
  oneOf,
  orNull,
  record,
  refer,
  type Schema,
  text,
  view,
} from '#runtime/http/schema.ts';

const WAYS = ['none', 'new', 'handover', 'generation'] as const satisfies readonly DeployWayName[];
const STATE_CHANGES = [
  'added',
  'dropped',
  'migrated',
  'unreadable',
  'rekeyed',
] as const satisfies readonly StateChangeView['change'][];
const STAGE = text('id of the stage');
const PARTITION = count('number of the partition, which is that of its task');
const WATERMARK = orNull(moment('event time up to which everything was seen'), 'not known yet');

const SAVEPOINT: Readonly<Record<keyof SavepointView, Schema>> = {
  id: text('id'),
  createdMs: moment('when it was taken'),
  version: text('of the job that it was taken of'),
  generation: count('of the job'),
  tasks: count('that it has parts of'),
  sizeBytes: count('bytes of all parts'),
  watermarkMs: WATERMARK,
};

const HOW = {
  dryRun: flag('says what it would do, and does nothing'),
  fromSavepoint: text('id of the savepoint to begin with: what came behind it is published again'),
  publishAgain: flag('needed with fromSavepoint'),
  allowDroppedState: flag('states of operators that are gone are left behind'),
};

export const DEPLOY_SCHEMAS = {
  Savepoints: view<{ readonly savepoints: readonly SavepointView[] }>({
    savepoints: list(refer('Savepoint'), 'newest first'),
  }),
  Savepoint: view<SavepointView>(SAVEPOINT),
  SavepointDetail: view<SavepointDetailView>({
    ...SAVEPOINT,
    taskList: list(
      view<SavepointTaskView>({
        stage: STAGE,
        partition: PARTITION,
        entry: count('entry at which it was cut'),
        sizeBytes: count('bytes of its part'),
        watermarkMs: WATERMARK,
        inputs: list(
          view<SavepointTaskView['inputs'][number]>({
            topic: text('name'),
            partition: count('number'),
            offset: { type: 'string', pattern: '^-?[0-9]+$', description: 'of the next record to read' },
          }),
          'where it goes on reading',
        ),
      }),
      'its parts',
    ),
  }),
  Deploy: view<DeployAskedView>(
    {
      bundle: record(true, 'the module with what it imports, as `millrace deploy` packs it'),
      options: record(true, 'what the module is given'),
      module: text('how the module is called, for people'),
      ...HOW,
    },
    ['options', 'module', 'dryRun', 'fromSavepoint', 'publishAgain', 'allowDroppedState'],
  ),
  Rollback: view<RollbackAskedView>({ version: text('id of the version, or how it begins'), ...HOW }, [
    'dryRun',
    'fromSavepoint',
    'publishAgain',
    'allowDroppedState',
  ]),
  Deployed: view<DeployedView>({
    requestId: orNull(text('id of the request'), 'it was a dry run'),
    plan: refer('DeployPlan'),
    request: orNull(refer('Request'), 'it was a dry run'),
  }),
  DeployPlan: view<DeployPlanView>({
    job: text('id'),
    revision: count('of the job that was looked at; 0: it is new'),
    from: orNull(text('the version that counts'), 'none yet'),
    version: text('that would count'),
    way: oneOf(WAYS, 'none: it runs already; handover: tasks go on where they are; generation: new tasks begin'),
    reasons: list(text('for people'), 'why tasks cannot hand over where they are'),
    savepoint: orNull(text('id of the savepoint that was named'), 'none'),
    publishesAgain: flag('what came behind the savepoint is published a second time'),
    states: list(refer('StateChange'), 'what becomes of states; those that stay as they are are left out'),
    failure: orNull(refer('Fault'), 'it can be done'),
  }),
  StateChange: view<StateChangeView>({
    stage: STAGE,
    operator: text('id'),
    stateId: text('id of the state'),
    change: oneOf(STATE_CHANGES, 'unreadable and rekeyed are refused, dropped must be allowed'),
    from: orNull(count('version of its schema'), 'it is none of the change'),
    to: orNull(count('version of its schema'), 'it is none of the change'),
  }),
  Versions: view<{ readonly versions: readonly JobVersionView[] }>({
    versions: list(refer('Version'), 'newest first'),
  }),
  Version: view<JobVersionView>({
    version: text('id'),
    current: flag('it counts now'),
    sinceMs: moment('when it began to count'),
    module: text('how its module was called'),
    deployed: flag('by a deploy, not by a configuration file'),
    generation: count('in which it counted last'),
    engine: orNull(text('version of Millrace'), 'not known'),
    node: orNull(count('major version of Node'), 'not known'),
    kept: flag('its module is there, to go back to'),
  }),
} as const satisfies Readonly<Record<string, Schema>>;
