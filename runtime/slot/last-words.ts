// Owns what each task of a process said last, also when its slot is gone or it has ended. One report per task.

import { assignmentKey, type SlotReport, type TaskAssignment, type TaskReport } from '#runtime/slot/messages.ts';
import type { Slot } from '#runtime/slot/slot.ts';
import { type BusyMeasure, knownBefore } from '#runtime/task/busy-share.ts';

export class LastWords {
  readonly #reports = new Map<string, SlotReport>();
  /** Of tasks whose slot died: how often they were started again until then. */
  readonly #restarts = new Map<string, number>();
  /** How busy tasks were where they ran before. */
  readonly #busyBefore = new Map<string, BusyMeasure>();

  heard(slot: number, reports: readonly TaskReport[]): readonly SlotReport[] {
    return reports.map((report) => {
      const fresh: SlotReport = { ...report, restarts: this.#restartsOf(report), slot, word: 'fresh' };
      this.#reports.set(assignmentKey(report.assignment), fresh);
      return fresh;
    });
  }

  ended(last: TaskReport): void {
    const restarts = this.#restartsOf(last);
    this.#remember(last);
    this.#reports.set(assignmentKey(last.assignment), { ...last, restarts, slot: null, word: 'ended' });
  }

  /** It goes on in another slot, whose word counts anew. */
  moved(last: TaskReport): void {
    const { assignment, restarts } = last;
    const key = assignmentKey(assignment);
    this.#remember(last);
    this.#restarts.set(key, (this.#restarts.get(key) ?? 0) + restarts);
  }

  /** Wherever it ran; null: it is not known. */
  busy(task: TaskAssignment): BusyMeasure | null {
    const key = assignmentKey(task);
    return this.#busyOf(key, this.#reports.get(key));
  }

  #busyOf(key: string, report: TaskReport | undefined): BusyMeasure | null {
    const now = report?.figures?.busy;
    const before = this.#busyBefore.get(key);
    if (now === undefined) return before ?? null;
    return before === undefined ? now : knownBefore(before, now);
  }

  // Where it runs next it is measured anew.
  #remember(last: TaskReport): void {
    const key = assignmentKey(last.assignment);
    const busy = this.#busyOf(key, last);
    if (busy !== null) this.#busyBefore.set(key, busy);
  }

  /** Its slot is gone, and the task is started in another. */
  lost(task: TaskAssignment): void {
    const key = assignmentKey(task);
    const last = this.#reports.get(key);
    if (last !== undefined) this.#remember(last);
    this.#restarts.set(key, (last?.restarts ?? 0) + 1);
  }

  #restartsOf({ assignment, restarts }: TaskReport): number {
    return (this.#restarts.get(assignmentKey(assignment)) ?? 0) + restarts;
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
