// Owns which commands and flags there are, as data: parsing, help and completion are made of it. What commands do is
// not known here.

/** What a shell can offer in a place. */
export type Completes =
  | 'job'
  | 'savepoint'
  | 'version'
  | 'operator'
  | 'file'
  | 'directory'
  | 'shell'
  | 'command'
  | 'nothing';

export interface Flag {
  /** Name of its value; null: it takes none. */
  readonly value: string | null;
  readonly summary: string;
  readonly completes?: Completes;
}

export interface Argument {
  readonly name: string;
  readonly completes: Completes;
  readonly optional?: true;
}

export interface CommandEntry {
  /** How its argument is called; null: it takes none. */
  readonly argument: Argument | null;
  /** Another one behind it. */
  readonly second?: Argument;
  readonly flags: readonly FlagName[];
  readonly summary: string;
  /** More of what it does; lines as they are printed. */
  readonly details: readonly string[];
  /** Command lines with what they do. */
  readonly examples: readonly (readonly [string, string])[];
}

export const FLAGS = {
  config: { value: 'FILE', summary: 'the configuration (default jobs.config.ts)', completes: 'file' },
  jobs: { value: 'a,b', summary: 'only these jobs of it', completes: 'nothing' },
  slots: { value: 'N', summary: 'worker threads of this process', completes: 'nothing' },
  data: { value: 'DIR', summary: 'directory of the embedded log and the checkpoints', completes: 'directory' },
  port: { value: 'N', summary: 'port of the admin API; 0: any that is free', completes: 'nothing' },
  'accept-divergent-replay': {
    value: null,
    summary: 'start with another version after a crash',
  },
  options: { value: 'JSON', summary: 'for modules that take options', completes: 'nothing' },
  operator: { value: 'ID', summary: 'the operator whose state is shown', completes: 'operator' },
  key: { value: 'K', summary: 'only this key', completes: 'nothing' },
  prefix: { value: 'P', summary: 'only keys that begin so', completes: 'nothing' },
  limit: { value: 'N', summary: 'keys at most, 1 to 1000 (default 20)', completes: 'nothing' },
  after: { value: 'X', summary: 'the next page, as the one before names it', completes: 'nothing' },
  parallelism: { value: 'N', summary: 'slots its tasks are spread over', completes: 'nothing' },
  drain: { value: null, summary: 'read what is there and fire every window before' },
  purge: { value: null, summary: 'delete its internal topics and checkpoints, too' },
  'dry-run': { value: null, summary: 'say what would happen, and do nothing' },
  'from-savepoint': {
    value: 'ID',
    summary: 'begin with it; what came behind is published again',
    completes: 'savepoint',
  },
  'allow-dropped-state': { value: null, summary: 'leave states of operators that are gone behind' },
  yes: { value: null, summary: 'publish again without being asked' },
  'request-id': { value: 'ID', summary: 'asked again with the same id it is done once', completes: 'nothing' },
  url: {
    value: 'URL',
    summary: 'default $MILLRACE_URL, then http://127.0.0.1:8081',
    completes: 'nothing',
  },
  json: { value: null, summary: 'JSON for programs instead of text for people' },
  help: { value: null, summary: 'what a command does, with examples' },
  version: { value: null, summary: 'the version' },
} as const satisfies Readonly<Record<string, Flag>>;

export type FlagName = keyof typeof FLAGS;

export const RUN_FLAGS = ['config', 'jobs', 'slots', 'data', 'port', 'accept-divergent-replay'] as const;
const API_FLAGS = ['url', 'json'] as const;
export const CHANGE_FLAGS = ['request-id', ...API_FLAGS] as const;
const DEPLOY_FLAGS = ['dry-run', 'from-savepoint', 'allow-dropped-state', 'yes', ...CHANGE_FLAGS] as const;
const A_JOB = { name: 'JOB', completes: 'job' } as const;

export const COMMANDS = {
  up: {
    argument: null,
    flags: RUN_FLAGS,
    summary: 'run the jobs of the configuration in this process',
    details: ['Ctrl-C ends it with a checkpoint, twice at once; the next start goes on there.'],
    examples: [
      ['millrace up', 'all jobs of ./jobs.config.ts'],
      ['millrace up --jobs rollups --port 0', 'one job; the admin API on any free port, which the log names'],
      ['KAFKA_BROKERS=host:9092 millrace up --slots 4', 'on a Kafka, with four worker threads'],
    ],
  },
  start: {
    argument: { ...A_JOB, optional: true },
    flags: [...RUN_FLAGS, ...CHANGE_FLAGS],
    summary: 'up with generated load; or start a JOB again',
    details: [
      'Without a JOB a process for a first look: samples of made-up hosts and services',
      'go to the source, and rows are printed. With a JOB: it goes on, in the process',
      'that runs, where it stopped or failed, was paused or canceled.',
    ],
    examples: [
      ['millrace start --data ./data', 'everything in one process, kept below ./data'],
      ['millrace start rollups', 'a job that was stopped goes on'],
    ],
  },
  explain: {
    argument: { name: 'MODULE', completes: 'file' },
    flags: ['options', 'json'],
    summary: 'the plan of a job: stages, operators, state',
    details: ['Runs nothing and needs no process that runs.'],
    examples: [
      ['millrace explain jobs/rollups.ts', 'the plan as text'],
      [`millrace explain jobs/rollups.ts --options '{"partitionedBy":"series"}'`, 'with options of the module'],
    ],
  },
  jobs: {
    argument: null,
    flags: API_FLAGS,
    summary: 'every job: state, lag, watermark, last checkpoint',
    details: ['Asks the process that runs. BEHIND is how far the watermark is behind the clock.'],
    examples: [
      ['millrace jobs', 'a table'],
      ['millrace jobs --json', 'what GET /jobs answers'],
    ],
  },
  job: {
    argument: { name: 'JOB', completes: 'job' },
    flags: API_FLAGS,
    summary: 'one job with its tasks, and what they wait for',
    details: [
      'A task is one stage over one partition. ENTRY is the last that it committed, LAG',
      'the records that it has not read yet, BEHIND how far its watermark is behind the',
      'clock. The checkpoint of the job is the oldest among the last ones of its tasks.',
    ],
    examples: [
      ['millrace job rollups', 'figures, and a line for each task'],
      ['millrace job rollups --json --url http://127.0.0.1:9000', 'what GET /jobs/rollups answers there'],
    ],
  },
  state: {
    argument: { name: 'JOB', completes: 'job' },
    flags: ['operator', 'key', 'prefix', 'limit', 'after', ...API_FLAGS],
    summary: 'keyed state of an operator: open windows, values',
    details: [
      'Without --operator the first one is shown, and the others are named. Each task',
      'is read at one of its entries. Times are UTC; keys of samples are their series.',
    ],
    examples: [
      ['millrace state rollups', 'operators, and the first open windows'],
      [`millrace state rollups --operator 1h --key 'cpu_usage{host="h-1"}'`, 'one series'],
      ['millrace state rollups --operator 1m --prefix cpu_ --limit 100', 'series that begin so'],
    ],
  },
  stop: {
    argument: A_JOB,
    flags: ['drain', ...CHANGE_FLAGS],
    summary: 'stop a job, with a checkpoint at its last entry',
    details: [
      'It stays stopped, also when the process is started again, until it is started.',
      'With --drain its tasks read what is there now, and all windows fire at once.',
      'What comes for these windows when the job is started again is late.',
    ],
    examples: [
      ['millrace stop rollups', 'waits until all of its tasks have stopped'],
      ['millrace stop rollups --drain', 'for good: nothing is left open'],
      ['millrace stop rollups --request-id stop-of-monday', 'may be repeated safely'],
    ],
  },
  pause: {
    argument: A_JOB,
    flags: CHANGE_FLAGS,
    summary: 'let a job read nothing for a while',
    details: ['As stop, but shown as PAUSED. Whatever comes in meanwhile waits in its source.'],
    examples: [['millrace pause rollups', 'until: millrace resume rollups']],
  },
  resume: {
    argument: A_JOB,
    flags: CHANGE_FLAGS,
    summary: 'let a paused job go on',
    details: [],
    examples: [['millrace resume rollups', 'waits until all of its tasks run']],
  },
  rescale: {
    argument: A_JOB,
    flags: ['parallelism', ...CHANGE_FLAGS],
    summary: 'spread the tasks of a job over more slots, or fewer',
    details: [
      'Only tasks that must move are stopped, each cleanly and for a moment. There are',
      'as many tasks as its source or exchanges have partitions: more slots do nothing.',
    ],
    examples: [['millrace rescale rollups --parallelism 4', 'says how long the longest pause of a task was']],
  },
  cancel: {
    argument: A_JOB,
    flags: ['purge', ...CHANGE_FLAGS],
    summary: 'end a job at once, without a checkpoint',
    details: [
      'Started again it goes on exactly, but replays what came after its checkpoint.',
      'With --purge what it remembers is deleted: started again it reads its source',
      'from the start, and publishes everything a second time.',
    ],
    examples: [
      ['millrace cancel rollups', 'for a job that does not stop'],
      ['millrace cancel rollups --purge', 'to begin anew'],
    ],
  },
  deploy: {
    argument: { name: 'MODULE', completes: 'file' },
    flags: ['options', ...DEPLOY_FLAGS],
    summary: 'run another version of a job, or a new job',
    details: [
      'What becomes of its state is listed by operator before anything stops. Tasks',
      'hand over to the new version where they are; with another number of partitions,',
      'or from a savepoint, new tasks begin. A version that cannot run is taken back.',
      'It counts, over restarts too, until the configuration names another module.',
    ],
    examples: [
      ['millrace deploy jobs/rollups.ts --dry-run', 'what would happen'],
      ['millrace deploy jobs/rollups.ts', 'waits until the new version runs'],
      ['millrace deploy jobs/rollups.ts --from-savepoint 01jd…', 'from there on once more'],
    ],
  },
  versions: {
    argument: A_JOB,
    flags: API_FLAGS,
    summary: 'the versions that a job had, the newest first',
    details: ['Those of which the module is kept can be gone back to: millrace rollback.'],
    examples: [['millrace versions rollups', 'a table']],
  },
  rollback: {
    argument: A_JOB,
    second: { name: 'VERSION', completes: 'version', optional: true },
    flags: DEPLOY_FLAGS,
    summary: 'deploy a version that a job had before',
    details: ['Without a VERSION the one before. What counts for deploy counts here, too.'],
    examples: [
      ['millrace rollback rollups', 'the version before runs again'],
      ['millrace rollback rollups 1f3a', 'that which begins so'],
    ],
  },
  savepoint: {
    argument: A_JOB,
    flags: CHANGE_FLAGS,
    summary: 'keep the state of a job as it is now',
    details: [
      'All tasks are cut at one place in their input and go on. A savepoint lives until',
      'it is deleted, and is what another version or another number of partitions may',
      'begin with: millrace deploy MODULE --from-savepoint ID.',
    ],
    examples: [
      ['millrace savepoint rollups', 'prints its id'],
      ['millrace savepoint delete rollups 01jd…', 'deletes it'],
    ],
  },
  'savepoint delete': {
    argument: A_JOB,
    second: { name: 'ID', completes: 'savepoint' },
    flags: CHANGE_FLAGS,
    summary: 'delete a savepoint of a job',
    details: ['What it shares with no other is deleted with it.'],
    examples: [['millrace savepoint delete rollups 01jd…', 'one of: millrace savepoints rollups']],
  },
  savepoints: {
    argument: A_JOB,
    flags: API_FLAGS,
    summary: 'the savepoints of a job, the newest first',
    details: ['BEHIND is how far its watermark was behind the clock when it was taken.'],
    examples: [['millrace savepoints rollups', 'ids, versions, sizes']],
  },
  completion: {
    argument: { name: 'SHELL', completes: 'shell' },
    flags: [],
    summary: 'a script by which bash or zsh completes words',
    details: [
      'Completes commands, flags, jobs and operators; what the last two are called is',
      'asked of the process at $MILLRACE_URL, if it runs.',
    ],
    examples: [
      ['source <(millrace completion bash)', 'in ~/.bashrc'],
      ['source <(millrace completion zsh)', 'in ~/.zshrc, behind compinit'],
    ],
  },
  help: {
    argument: { name: 'COMMAND', completes: 'command', optional: true },
    flags: [],
    summary: 'this text, or that of a command',
    details: [],
    examples: [],
  },
  version: { argument: null, flags: [], summary: 'the version', details: [], examples: [] },
} as const satisfies Readonly<Record<string, CommandEntry>>;

export type CommandName = keyof typeof COMMANDS;
/** Those that change a job. */
export type ChangeCommandName =
  | 'start'
  | 'stop'
  | 'pause'
  | 'resume'
  | 'rescale'
  | 'cancel'
  | 'savepoint'
  | 'savepoint delete';

export const COMMAND_NAMES = Object.keys(COMMANDS) as readonly CommandName[];
export const FLAG_NAMES = Object.keys(FLAGS) as readonly FlagName[];
export const SHELLS = ['bash', 'zsh'] as const;

export function entryOf(name: CommandName): CommandEntry {
  return COMMANDS[name];
}

export function flagOf(name: FlagName): Flag {
  return FLAGS[name];
}

/** The command that words begin with, and what is left of them: some are two words. */
export function commandOf(
  words: readonly string[],
): { readonly command: string; readonly rest: readonly string[] } | null {
  if (words.length === 0) return null;
  const both = words.slice(0, 2).join(' ');
  if (words.length > 1 && isCommand(both)) return { command: both, rest: words.slice(2) };
  return { command: words[0], rest: words.slice(1) };
}

export function isCommand(name: string): name is CommandName {
  return Object.hasOwn(COMMANDS, name);
}

export function isFlag(name: string): name is FlagName {
  return Object.hasOwn(FLAGS, name);
}
