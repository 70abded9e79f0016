// Owns the words a configuration is written with: defineConfig, env, kafka, embedded, directory. They hold what the
// author gave; `resolveConfig` checks it. With jobs/main.ts the only place that reads the environment.

export interface KafkaOptions {
  /** `host:port`, one or several: separated by commas, or a list. */
  readonly brokers: string | readonly string[] | undefined;
  /** Replication factor of topics that are created; -1: the broker's default. @default -1 */
  readonly replication?: number | undefined;
  /** How long brokers that do not answer are waited for at start; afterwards they are waited for however long. @default '60s', minimum '1s' */
  readonly startTimeout?: string | undefined;
}

export interface EmbeddedOptions {
  /** Where the log lies; relative to the configuration file. */
  readonly directory: string;
  /**
   * How long records of topics that come from outside stay after they were written (whole segments, so that it may be
   * more), and what jobs of the configuration have not read in any case. @default '24h'
   */
  readonly retention?: string | undefined;
  /** The same of topics that jobs write. @default '7d' */
  readonly outputRetention?: string | undefined;
  /** Of all these topics together; what was written longest ago goes first. @default '10GiB' */
  readonly retentionSize?: string | undefined;
}

export interface JobEntry {
  /** The job module; relative to the configuration file. */
  readonly module: string;
  /** Slots its tasks are spread over. @default 1 */
  readonly parallelism?: number | undefined;
  /** @default '200ms', minimum '10ms' */
  readonly commitInterval?: string | undefined;
  /** @default '60s', minimum '1s' */
  readonly checkpointInterval?: string | undefined;
  /** Staged bytes at which an entry ends. @default '4MiB', minimum '64KiB' */
  readonly commitBytesMax?: string | undefined;
  /** Busy time since the last checkpoint after which the next is due. @default '5s' */
  readonly replayBudget?: string | undefined;
  /** Copied and unwritten checkpoint bytes at which a task waits. @default '64MiB' */
  readonly snapshotBytesMax?: string | undefined;
  /** Where keyed state lives: in memory, or in LevelDB with as much of it in memory as `stateMemory` allows. @default 'memory' */
  readonly state?: 'memory' | 'leveldb' | undefined;
  /** For modules that export a function: what it is called with. */
  readonly options?: Readonly<Record<string, unknown>> | undefined;
}

export interface HttpOptions {
  /** An address that other machines reach needs `tls`, and MILLRACE_TOKEN in the environment. @default '127.0.0.1' */
  readonly host?: string | undefined;
  /** 0: any that is free. @default 8081 */
  readonly port?: number | undefined;
  /** Address under which others reach this process, `https://host:port`: requests may be meant for this host, too. */
  readonly advertise?: string | undefined;
  /** PEM files, relative to the configuration file: the certificate chain, and the key of its first certificate. */
  readonly tls?: { readonly certificate: string | undefined; readonly key: string | undefined } | undefined;
}

export interface Config {
  /** Prefix of every topic, group and transactional id: two installations may share a Kafka. @default 'millrace' */
  readonly namespace?: string | undefined;
  readonly log: LogChoice;
  readonly checkpoints: StoreChoice;
  /** The admin API; false: none. */
  readonly http?: HttpOptions | false | undefined;
  /** Worker threads of this process. @default 2 */
  readonly slots?: number | undefined;
  /** Memory for keyed state of jobs with `state: 'leveldb'`, all slots together. @default '256MiB', minimum '16MiB' */
  readonly stateMemory?: string | undefined;
  /**
   * Where state lies that is not in memory: a working copy, thrown away at every start. On a disk of this machine;
   * relative to the configuration file. @default './data/state'
   */
  readonly stateDirectory?: string | undefined;
  /** By name; the name is for the command line, the job's own name stands in its module. */
  readonly jobs: Readonly<Record<string, JobEntry>>;
}

export type LogChoice =
  | { readonly kind: 'kafka'; readonly options: KafkaOptions }
  | { readonly kind: 'embedded'; readonly options: EmbeddedOptions };

export type StoreChoice =
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 's3'; readonly options: S3CheckpointOptions };

export interface S3CheckpointOptions {
  readonly bucket: string | undefined;
  /** `https://host:port` of a store other than Amazon's. */
  readonly endpoint?: string | undefined;
  /** @default 'us-east-1' */
  readonly region?: string | undefined;
  /** Of all keys: installations may share a bucket. @default '' */
  readonly prefix?: string | undefined;
  /** Not renewed while the process runs. @default the environment's AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN */
  readonly credentials?:
    | {
        readonly accessKeyId: string | undefined;
        readonly secretAccessKey: string | undefined;
        readonly sessionToken?: string | undefined;
      }
    | undefined;
}

export interface ConfigDefinition {
  readonly kind: 'millrace-config';
  readonly config: Config;
}

/** Defines an installation's configuration. Faults are found when it is loaded, all at once: error config-invalid. */
export function defineConfig(config: Config): ConfigDefinition {
  return { kind: 'millrace-config', config };
}

/** A variable of the environment; undefined when it is not set or empty. */
export function env(name: string): string | undefined {
  return process.env[name] || undefined;
}

/** An Apache Kafka as the log. */
export function kafka(options: KafkaOptions): LogChoice {
  return { kind: 'kafka', options };
}

/** A log in a directory of this machine: one process, nothing to install. */
export function embedded(options: EmbeddedOptions): LogChoice {
  return { kind: 'embedded', options };
}

/** Checkpoints in a directory, local or shared; relative to the configuration file. */
export function directory(path: string): StoreChoice {
  return { kind: 'directory', path };
}

/** Checkpoints in S3-compatible storage that refuses a conditional write (`If-None-Match: *`) of a key that exists. */
export function s3(options: S3CheckpointOptions): StoreChoice {
  return { kind: 's3', options };
}
