// Owns when a task is at its part of a savepoint, and the making of that part while the task holds there. Opens and ends
// no entry itself. Invariant: a part is the state behind an entry that names the savepoint, and nothing came behind it.

import { StreamError } from '#runtime/std/errors.ts';
import type { Logger } from '#runtime/std/logger.ts';
import type { ChainHead } from '#runtime/task/attempt-start.ts';
import type { Checkpointing } from '#runtime/task/checkpointing.ts';
import type { Entry } from '#runtime/task/entry.ts';
import type { StageRunner } from '#runtime/task/stage-runner.ts';
import { type TaskPlan, taskName } from '#runtime/task/task-environment.ts';
import type { TaskSavepoint } from '#runtime/task/task-savepoint.ts';

export interface SavepointHoldParts {
  readonly plan: TaskPlan;
  readonly runner: StageRunner;
  readonly checkpointing: Checkpointing;
  readonly head: ChainHead;
  readonly savepoint: TaskSavepoint;
  readonly logger: Logger;
  readonly wake: () => void;
}

export class SavepointHold {
  readonly #parts: SavepointHoldParts;
  #stopped = false;
  /** The part that is made, or was, while the task holds. */
  #part: { readonly id: string; readonly made: Promise<void> } | null = null;
  #fault: unknown = null;

  constructor(parts: SavepointHoldParts) {
    this.#parts = parts;
    parts.savepoint.begin(parts.wake);
  }

  /** The savepoint that the entry behind `last` is cut for; null: none, or not yet. */
  dueBehind(last: Entry): string | null {
    const { savepoint, plan, runner } = this.#parts;
    const { wanted } = savepoint;
    if (wanted === null || this.#stopped || last.savepoint === wanted) return null;
    if (plan.writers === 0 || runner.markers.isComplete(wanted)) return wanted;
    if (runner.markers.isBroken(wanted)) savepoint.fail(wanted, 'read on behind a marker of it before all had come');
    return null;
  }

  /** Whether the task stands at its part behind `last`: it takes no input, moves no clock, sends nothing. */
  isAt(last: Entry): boolean {
    const { wanted } = this.#parts.savepoint;
    return wanted !== null && last.savepoint === wanted;
  }

  /** To be called while the task stands there. Throws when the making of its part met a bug. */
  hold(last: Entry): void {
    if (this.#fault !== null) throw this.#fault;
    const { wanted } = this.#parts.savepoint;
    if (wanted === null || this.#part?.id === wanted) return;
    const made = this.#make(wanted, last).catch((fault: unknown) => {
      this.#fault = fault;
      this.#parts.wake();
    });
    this.#part = { id: wanted, made };
  }

  /** True once when the task goes on. */
  ended(): boolean {
    const { savepoint, plan, logger } = this.#parts;
    const { wanted } = savepoint;
    if (savepoint.expire()) {
      const task = taskName(plan.identity);
      const remedy = 'look why nobody ended the savepoint; it may be taken again';
      logger.warn({ task, savepoint: wanted, remedy }, 'a task that held for a savepoint goes on: nobody told it to');
    }
    if (this.#part === null || this.#part.id === savepoint.wanted) return false;
    this.#part = null;
    return true;
  }

  /** No part is begun any more; resolves when the one under way is made, or failed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#part?.made;
  }

  async #make(id: string, last: Entry): Promise<void> {
    const { savepoint, checkpointing, head, plan, runner } = this.#parts;
    const isHeld = () => savepoint.wanted === id && this.#part?.id === id && head.number === last.number;
    try {
      const { chainHash, offset: entryOffset } = head;
      const held = { last, chainHash, entryOffset, runner, isHeld };
      const made = await checkpointing.hold(held, savepoint.keep ? id : null);
      if (made === null) return;
      const { valueMs } = runner.watermark;
      savepoint.answer(id, {
        identity: plan.identity,
        version: last.version,
        checkpoint: made.reference,
        schemaVersions: made.schemaVersions,
        inputs: last.inputs,
        watermarkMs: Number.isFinite(valueMs) ? valueMs : null,
        clockMs: runner.clockMs,
      });
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      savepoint.fail(id, `has no checkpoint of its part: ${error.message}`, error);
    }
  }
}
