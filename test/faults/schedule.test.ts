import { expect, test } from 'vitest';
import { drawSchedule, FAULT_KINDS, KILLS, type PlannedFault } from './schedule.ts';

const PLACES = { workers: 3, slots: 2, brokers: 3, overlapShare: 0 };

test('a seed repeats its schedule, another has another', () => {
  const drawn = (seed: number) => drawSchedule({ ...PLACES, seed, kills: 50 });
  expect(drawn(1)).toEqual(drawn(1));
  expect(drawn(1)).not.toEqual(drawn(2));
});

test('every kind happens, and kills as often as wanted', () => {
  for (let seed = 0; seed < 50; seed++) {
    for (const kills of [3, 5, 200]) {
      const drawn = drawSchedule({ ...PLACES, seed, kills });
      const kinds = drawn.map(({ kind }) => kind);
      expect(new Set(kinds)).toEqual(new Set(FAULT_KINDS));
      expect(kinds.filter((kind) => KILLS.some((kill) => kill === kind))).toHaveLength(kills);
    }
  }
});

test('some kinds only', () => {
  const drawn = drawSchedule({ ...PLACES, seed: 1, kills: 7, kinds: ['slot-death', 'clock'] });
  expect(new Set(drawn.map(({ kind }) => kind))).toEqual(new Set(['slot-death', 'worker-kill', 'clock']));
});

test('two faults may overlap, never three, and no process is killed while it could not start', () => {
  const overlaps: string[] = [];
  for (let seed = 0; seed < 50; seed++) {
    const drawn = drawSchedule({ ...PLACES, seed, kills: 100, overlapShare: 0.5 });
    drawn.forEach((fault, at) => {
      if (!fault.during) return;
      expect(drawn[at - 1].during).toBe(false);
      overlaps.push(`${fault.kind} during ${drawn[at - 1].kind}`);
    });
  }
  expect(new Set(overlaps)).toContain('worker-kill during broker-kill');
  expect(new Set(overlaps)).toContain('slot-death during disk-full');
  expect(new Set(overlaps)).not.toContain('worker-kill during disk-full');
  expect(drawSchedule({ ...PLACES, seed: 1, kills: 100 }).filter(({ during }) => during)).toEqual([]);
});

test('no slot dies more than three times in one life of its process', () => {
  const most: number[] = [];
  for (let seed = 0; seed < 50; seed++) {
    for (const kinds of [undefined, ['slot-death'] as const]) {
      most.push(mostDeaths(drawSchedule({ ...PLACES, workers: 1, seed, kills: 100, kinds })));
    }
  }
  expect(Math.max(...most)).toBe(3);
});

function mostDeaths(drawn: readonly PlannedFault[]): number {
  const deaths = new Map<string, number>();
  let most = 0;
  for (const fault of drawn) {
    if (fault.kind === 'worker-kill') for (let slot = 0; slot < 2; slot++) deaths.delete(`${fault.worker}/${slot}`);
    if (fault.kind !== 'slot-death') continue;
    const place = `${fault.worker}/${fault.slot}`;
    deaths.set(place, (deaths.get(place) ?? 0) + 1);
    most = Math.max(most, deaths.get(place) ?? 0);
  }
  return most;
}
