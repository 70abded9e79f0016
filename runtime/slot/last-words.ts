// Owns what each task of a process said last, also when its slot is gone or it has ended. One report per task.

import { assignmentKey, type SlotReport, type TaskReport } from '#runtime/slot/messages.ts';
import type { Slot } from '#runtime/slot/slot.ts';

export class LastWords {
  readonly #reports = new Map<string, SlotReport>();

  heard(slot: number, reports: readonly TaskReport[]): readonly SlotReport[] {
    const fresh = reports.map((report): SlotReport => ({ ...report, slot, word: 'fresh' }));
    for (const report of fresh) this.#reports.set(assignmentKey(report.assignment), report);
    return fresh;
  }

  ended(last: TaskReport): void {
    this.#reports.set(assignmentKey(last.assignment), { ...last, slot: null, word: 'ended' });
  }

  /** By what is known of the slots now; `answered` are those that just did. */
  all(slots: readonly Slot[], answered: ReadonlySet<Slot>): SlotReport[] {
    return Array.from(this.#reports, ([key, report]): SlotReport => {
      const slot = slots.find(({ tasks }) => tasks.has(key));
      if (slot === undefined) return { ...report, slot: null, word: 'ended' };
      if (!slot.ready) return { ...report, slot: null, word: 'down' };
      return answered.has(slot) ? report : { ...report, word: 'silent' };
    });
  }
}
