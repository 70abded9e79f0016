// Owns which tasks are on their way from one slot to another, and how long each of them took no input. Moves nothing
// itself. Invariant: who asked for a move hears of its end once, whatever becomes of the task.

import { assignmentKey, type TaskAssignment } from '#runtime/slot/messages.ts';
import type { Clock } from '#runtime/std/clock.ts';

export interface MovedTask {
  readonly assignment: TaskAssignment;
  readonly from: number;
  readonly to: number;
  /** From being told to stop to taking input again; null: it ended on the way. */
  readonly pauseMs: number | null;
}

interface OpenMove {
  readonly assignment: TaskAssignment;
  readonly from: number;
  readonly to: number;
  readonly askedMs: number;
  readonly done: (moved: MovedTask) => void;
  /** It runs where it is to be, or is about to. */
  arrived: boolean;
}

export class SlotMoves {
  readonly #clock: Clock;
  readonly #open = new Map<string, OpenMove>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  begin(assignment: TaskAssignment, from: number, to: number): Promise<MovedTask> {
    return new Promise((done) => {
      const askedMs = this.#clock.monotonicMs();
      this.#open.set(assignmentKey(assignment), { assignment, from, to, askedMs, done, arrived: false });
    });
  }

  /** Where the task is to go when it has left its slot; null: nowhere else. */
  targetOf(assignment: TaskAssignment): number | null {
    const move = this.#open.get(assignmentKey(assignment));
    return move === undefined || move.arrived ? null : move.to;
  }

  arrived(assignment: TaskAssignment): void {
    const move = this.#open.get(assignmentKey(assignment));
    if (move !== undefined) move.arrived = true;
  }

  live(assignment: TaskAssignment): void {
    const move = this.#open.get(assignmentKey(assignment));
    if (move?.arrived) this.#end(move, this.#clock.monotonicMs() - move.askedMs);
  }

  /** It stopped or failed, and goes nowhere any more. */
  ended(assignment: TaskAssignment): void {
    const move = this.#open.get(assignmentKey(assignment));
    if (move !== undefined) this.#end(move, null);
  }

  #end({ assignment, done, from, to }: OpenMove, pauseMs: number | null): void {
    this.#open.delete(assignmentKey(assignment));
    done({ assignment, from, to, pauseMs });
  }
}
