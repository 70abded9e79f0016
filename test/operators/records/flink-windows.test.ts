import { describe, expect, it } from 'vitest';
import { OperatorRig } from '../windows/operator-rig.ts';
import { ASSIGNERS, FIRING, LATENESS, MERGING, TRIGGERS } from './flink-cases.ts';
import { KeyNames } from './key-names.ts';
import { STAGES } from './script-stages.ts';

function give(stage: string, events: string): string[] {
  const keys = new KeyNames();
  keys.slotOf('k');
  const words = stage.split(' ').map((word) => (/^-?\d+$/.test(word) ? `${word}ms` : word));
  // How many records is no time.
  for (const [at, word] of words.entries()) if (words[at - 1] === 'count') words[at] = word.replace('ms', '');
  const isCount = words[0] === 'count';
  const plain = words.map((word) => word.replace(/ms$/, ''));
  const rig = new OperatorRig(
    isCount ? STAGES['count']([...plain.slice(1), 'list'], keys) : STAGES['window']([...words, 'list'], keys),
  );
  for (const event of events.split(' ')) {
    rig.restart();
    const value = Number(event.replace(/^[wc]/, ''));
    if (event.startsWith('w')) rig.watermarkMs = value;
    else if (event.startsWith('c')) rig.clockMs = value;
    else rig.process([{ slot: 0, timeMs: value, value: 0, record: value }]);
    rig.fireClock();
    rig.fireDue();
  }
  return rig.collected.rows.map(({ step, record, timeMs }) => {
    if (step === 'late') return `late ${record}`;
    const [start, end, ...elements] = record as number[];
    if (!Number.isFinite(end)) return elements.join(' ');
    // A result is as late as a record of its window can be.
    expect(timeMs).toBe(end - 1);
    return `[${start},${end}) ${elements.join(' ')}`;
  });
}

describe.each([
  ['assigners', ASSIGNERS],
  ['firing', FIRING],
  ['lateness', LATENESS],
  ['merging', MERGING],
  ['triggers', TRIGGERS],
])('%s as Flink has them', (_name, cases) => {
  it.each(cases.map((one) => [one.what, one] as const))('%s', (_what, { stage, events, flink, ours }) => {
    expect(give(stage, events)).toEqual(ours?.gives ?? flink);
    if (ours !== undefined) expect(ours.gives).not.toEqual(flink);
  });
});

it('differs from Flink in four places only', () => {
  const all = [ASSIGNERS, FIRING, LATENESS, MERGING, TRIGGERS].flat();
  expect(all.length).toBeGreaterThan(55);
  expect(all.filter(({ ours }) => ours !== undefined)).toHaveLength(4);
});
