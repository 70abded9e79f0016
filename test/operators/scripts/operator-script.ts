// Owns the language of golden scripts for operators: commands a line each, what they put out behind `>`. `play` runs
// the commands, perhaps with a restart before each, and returns the script with the output as it really is.

import { StreamError } from '#runtime/std/errors.ts';
import { OPERATOR_STAGES } from '#test/operators/scripts/operator-stages.ts';
import { requestLines } from '#test/operators/scripts/request-text.ts';
import { recordsOf, rollupsOf, samplesOf } from '#test/operators/scripts/script-rows.ts';
import type { ScriptStage } from '#test/operators/scripts/script-stage.ts';
import { ScriptTables } from '#test/operators/scripts/script-tables.ts';
import { recordLines, resultLine, rowLine } from '#test/operators/scripts/script-text.ts';
import { timeOf } from '#test/operators/scripts/script-time.ts';
import { SINK_STAGES } from '#test/operators/scripts/sink-stages.ts';
import { CollectedOutput } from '#test/operators/sinks/collected-output.ts';
import { OperatorRig, type Row } from '#test/operators/windows/operator-rig.ts';

//   stage NAME WORD…                     the operator (operator-stages.ts, sink-stages.ts)
//   sample (KEY TIME VALUE)… [from PARTITION/OFFSET]…      log records of samples, told apart by `from`
//   record KEY TIME JSON [| …]           records of any shape; `-` for no key
//   row (SERIES START END COUNT,…,P99 [run N] [revision N] [from PARTITION/OFFSET])…       rollup rows of a topic
//   watermark TIME [budget N]            the watermark arrives; N firings, then the entry ends
//   continue [budget N]                  the next entry fires what is left
//   clock TIME · end [idle]              the clock moves · the entry ends, what is for a receiver is sent
//   refuse ITEM STATUS MESSAGE…          the receiver will never take this item (from 0) of the entry
//   discard                              as in replay: nothing is sent
//   slots                                shows the tables of keys
//   restart                              goes on from pages alone
//
// A StreamError ends the stage.

export const STAGES = { ...OPERATOR_STAGES, ...SINK_STAGES };

export function play(script: string, restartAlways = false): string {
  const lines: string[] = [];
  let stage: Stage | null = null;
  for (const line of script.split('\n')) {
    if (line.startsWith('>')) continue;
    lines.push(line);
    const [command, ...words] = line.split('#')[0].trim().split(/\s+/);
    if (command === '') continue;
    if (command === 'stage') stage = new Stage(words);
    else if (stage === null) throw new Error(`'${line}' stands before a stage`);
    else {
      try {
        lines.push(...stage.run(command, words, restartAlways).map((output) => `> ${output}`));
      } catch (error) {
        if (!(error instanceof StreamError)) throw error;
        lines.push(`> failed ${error.code}: ${error.message}`);
        stage = null;
      }
    }
  }
  return lines.join('\n');
}

class Stage {
  readonly #tables = new ScriptTables();
  readonly #output = new CollectedOutput();
  readonly #stage: ScriptStage;
  readonly #rig: OperatorRig;

  constructor([kind, ...words]: readonly string[]) {
    const stageOf = STAGES[kind];
    if (stageOf === undefined) throw new Error(`no stage '${kind}'`);
    this.#stage = stageOf(words, this.#tables);
    const { build, partitions = 1, task = 0 } = this.#stage;
    this.#rig = new OperatorRig(build, { output: this.#output, partitionCount: () => partitions, partition: task });
  }

  run(command: string, words: readonly string[], restart: boolean): string[] {
    const rig = this.#rig;
    const at = words.indexOf('budget');
    const budget = at < 0 ? Number.POSITIVE_INFINITY : Number(words[at + 1]);
    let done = true;
    // What an entry holds back is sent at its end; before that nobody restarts from pages.
    if (restart && !rig.wantsEntry()) rig.restart();
    const lines: string[] = [];
    if (command === 'watermark') rig.watermarkMs = timeOf(words[0]);
    if (command === 'watermark' || command === 'continue') done = rig.fireDue(budget);
    else if (command === 'clock') rig.clockMs = timeOf(words[0]);
    else if (command === 'end') lines.push(...this.#end(words[0] === 'idle'));
    else if (command === 'restart') rig.restart();
    else if (command === 'slots') lines.push(...this.#tables.lines());
    else if (this.#stage.outbox !== undefined && command === 'discard') this.#stage.outbox().discard();
    else if (this.#stage.outbox !== undefined && command === 'refuse') {
      this.#stage.outbox().refuse(Number(words[0]), { status: Number(words[1]), message: words.slice(2).join(' ') });
    } else rig.process(this.#rows(command, words));
    lines.push(...this.#drain());
    return done ? lines : [...lines, 'stopped'];
  }

  #rows(command: string, words: readonly string[]): Row[] {
    const slotOf = (key: string) => this.#tables.slotOf(key);
    if (command === 'sample') return samplesOf(words, slotOf);
    if (command === 'row') return rollupsOf(words, slotOf);
    if (command === 'record') return recordsOf(words.join(' '), slotOf);
    throw new Error(`unknown command '${command}'`);
  }

  /** What is for a receiver leaves in requests; then what it refused is put out. */
  #end(idle: boolean): string[] {
    this.#rig.endEntry(idle);
    const outbox = this.#stage.outbox?.();
    if (outbox === undefined) return [];
    const lines: string[] = [];
    for (let start = 0; start < outbox.count; ) {
      const end = outbox.requestEnd(start);
      lines.push('request', ...requestLines(outbox.encode(start, end)).map((line) => `  ${line}`));
      start = end;
    }
    outbox.settle({
      append: (topic, partition, timestampMs, key, value, headers) => {
        const bytes = { key: key && Buffer.from(key), value: Buffer.from(value) };
        lines.push(...recordLines({ topic, partition, timestampMs, ...bytes, headers, hashedHeaders: 0 }));
      },
    });
    return lines;
  }

  #drain(): string[] {
    const { results, rows, counts } = this.#rig.collected;
    const { gives = 'series', show = recordLines } = this.#stage;
    const keyOf = (slot: number) => this.#tables.keyOf(gives, slot);
    const lines = results.map((result) => resultLine(keyOf(result.slot), result));
    for (const row of rows) lines.push(rowLine(keyOf(row.slot), row));
    for (const record of this.#output.records) lines.push(...show(record));
    for (const [name, count] of counts) lines.push(`${count} × ${name}`);
    if (this.#stage.outbox?.().full) lines.push('full');
    results.length = rows.length = this.#output.records.length = 0;
    counts.clear();
    return lines;
  }
}
