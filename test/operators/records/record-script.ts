// Owns the language of golden scripts for operators over records: commands a line each, what they put out behind `>`.
// `play` runs the commands, perhaps with a restart before each, and returns the script with the output as it really is.

import { clockText, timeOf } from '#test/operators/scripts/script-time.ts';
import { OperatorRig, type Row } from '../windows/operator-rig.ts';
import { KeyNames } from './key-names.ts';
import { STAGES } from './script-stages.ts';

//   stage NAME WORD…                     the operator (script-stages.ts)
//   record KEY TIME VALUE [| …]          one log record; VALUE is JSON
//   watermark TIME [budget N]            the watermark arrives; N firings, then the entry ends
//   continue [budget N]                  the next entry fires what is left
//   clock TIME [budget N]                the clock of the entry moves
//   end                                  the entry ends
//   restart                              goes on from pages alone

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
    else lines.push(...stage.run(command, words, restartAlways).map((output) => `> ${output}`));
  }
  return lines.join('\n');
}

class Stage {
  readonly #keys = new KeyNames();
  readonly #rig: OperatorRig;

  constructor([name, ...words]: readonly string[]) {
    const build = STAGES[name];
    if (build === undefined) throw new Error(`no stage '${name}'`);
    this.#rig = new OperatorRig(build(words, this.#keys));
  }

  run(command: string, words: readonly string[], restart: boolean): string[] {
    const rig = this.#rig;
    const at = words.indexOf('budget');
    const budget = at < 0 ? Number.POSITIVE_INFINITY : Number(words[at + 1]);
    let done = true;
    // What an entry holds back is sent at its end; before that nobody restarts from pages.
    if (restart && !rig.wantsEntry()) rig.restart();
    if (command === 'record') rig.process(this.#rows(words.join(' ')));
    else if (command === 'watermark') {
      rig.watermarkMs = timeOf(words[0]);
      done = rig.fireDue(budget);
    } else if (command === 'continue') done = rig.fireClock(budget) && rig.fireDue(budget);
    else if (command === 'clock') {
      rig.clockMs = timeOf(words[0]);
      done = rig.fireClock(budget);
    } else if (command === 'end') rig.endEntry();
    else if (command === 'restart') rig.restart();
    else throw new Error(`unknown command '${command}'`);
    return done ? this.#drain() : [...this.#drain(), 'stopped'];
  }

  #rows(text: string): Row[] {
    return text.split('|').map((row) => {
      const [key, time, ...value] = row.trim().split(' ');
      return { slot: this.#keys.slotOf(key), timeMs: timeOf(time), value: 0, record: JSON.parse(value.join(' ')) };
    });
  }

  #drain(): string[] {
    const { rows, counts } = this.#rig.collected;
    const lines = rows.map(
      ({ step, slot, timeMs, record }) =>
        `${step} ${this.#keys.names[slot]} ${clockText(timeMs)} ${JSON.stringify(record)}`,
    );
    for (const [name, count] of counts) lines.push(`${count} × ${name}`);
    rows.length = 0;
    counts.clear();
    return lines;
  }
}
