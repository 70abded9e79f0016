// Owns what an operator must say of itself to be a stage of a script.

import type { Outbox } from '#runtime/effect/contract.ts';
import type { ScriptTables, TableName } from '#test/operators/scripts/script-tables.ts';
import type { OutputRecord } from '#test/operators/sinks/collected-output.ts';
import type { BuildStage } from '#test/operators/windows/operator-rig.ts';

export interface ScriptStage {
  readonly build: BuildStage;
  /** Of every topic. @default 1 */
  readonly partitions?: number;
  /** Number of the task. @default 0 */
  readonly task?: number;
  /** The table that keys of what comes out are of. @default 'series' */
  readonly gives?: TableName;
  /** Lines for a record that was sent. @default recordLines */
  readonly show?: (record: OutputRecord) => string[];
  /** What is sent to a receiver when the entry ends. */
  readonly outbox?: () => Outbox;
}

export type StageOf = (words: readonly string[], tables: ScriptTables) => ScriptStage;
