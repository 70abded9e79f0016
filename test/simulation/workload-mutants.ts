// Owns the planted mistakes that one workload can show, and whose oracles must find them.

import { at, type Mutant } from '#test/simulation/planting.ts';

export const WORKLOAD_MUTANTS: readonly Mutant[] = [
  {
    name: 'loses what the later of two sessions held when they merge',
    patches: at('operators/windows/key-windows.ts', [
      'session.content = session.isEmpty ? next.content : merge(session.content, next.content);',
      'if (session.isEmpty) session.content = merge(next.content, next.content);',
    ]),
    killedBy: ['rows', 'order-free-rows'],
    workload: 'sessions',
  },
  {
    name: 'calls a visit late although a session that is kept would take it',
    patches: at('operators/windows/record-window.ts', [
      'if (open === undefined || !touchesSession(open.windows, startMs, endMs)) return false;',
      'if (open === undefined || !touchesSession([], startMs, endMs)) return false;',
    ]),
    killedBy: ['rows', 'late'],
    workload: 'sessions',
  },
  {
    name: 'does not end a batch where a session may end',
    patches: at('operators/windows/record-window.ts', [
      "if (assigner.kind === 'session') return Math.floor(watermarkMs) + 1;",
      "if (assigner.kind === 'session') return NEVER;",
    ]),
    killedBy: ['rows', 'late', 'replay', 'digest', 'task-failed'],
    workload: 'sessions',
  },
  {
    name: 'forgets the timers of keys that it restores',
    patches: at('operators/process/keyed-timers.ts', [
      'for (const [slot, times] of this.#store.entries()) for (const time of times) this.#push(time, slot);',
      '',
    ]),
    killedBy: ['rows', 'liveness', 'replay', 'digest', 'task-failed'],
    workload: 'sessions',
  },
  {
    name: 'lets values outlive their time by the clock',
    patches: at('operators/process/cell-store.ts', [
      'cell.atMs + this.#ttl.ms <= this.#watermarkMs() ? null : cell',
      'cell.atMs + this.#ttl.ms <= this.#context!.clockMs() ? null : cell',
    ]),
    killedBy: ['rows', 'replay', 'digest', 'task-failed'],
    workload: 'presence',
  },
  {
    name: 'does not renew what is read',
    patches: at('operators/process/cell-store.ts', ["if (this.#ttl?.update === 'read-and-write') this.#renew();", '']),
    killedBy: ['rows'],
    workload: 'presence',
  },
  {
    name: 'takes the next record before a timer of the past',
    patches: at('operators/process/process-operator.ts', ['      this.#firePast(watermarkMs);\n    }', '    }']),
    killedBy: ['rows', 'timers', 'replay', 'task-failed'],
    workload: 'presence',
  },
  {
    name: 'gives its own list away and goes on to change it',
    patches: at('operators/process/state-handles.ts', ['Object.freeze(list);', 'list;']),
    killedBy: ['rows', 'replay', 'task-failed'],
    workload: 'presence',
  },
  {
    name: 'moves the clock before it has finished what was due under the old one',
    patches: at('runtime/task/stage-runner.ts', [
      'if (!this.#timers.fireClock(this.clockMs) || !this.#fireDue()) return false;',
      'if (!this.#fireDue()) return false;',
    ]),
    killedBy: ['rows', 'timers', 'replay', 'task-failed'],
    workload: 'presence',
  },
  {
    name: 'answers with the change of the table that came last, whatever its time',
    patches: at('operators/process/table-lookup.ts', [
      'else insertByTime(rows, { timeMs, record, matched: false });',
      'else rows.push({ timeMs, record, matched: false });',
    ]),
    killedBy: ['rows', 'exchange', 'order-free-rows'],
    workload: 'orders',
  },
  {
    name: 'answers with the row before the one of the very time of the record',
    patches: at('operators/process/table-lookup.ts', [
      'return rows[firstFrom(rows, timeMs + 1) - 1];',
      'return rows[firstFrom(rows, timeMs) - 1];',
    ]),
    killedBy: ['rows', 'exchange', 'order-free-rows'],
    workload: 'orders',
  },
  {
    name: 'forgets records that others may still be joined with',
    patches: at('operators/process/interval-join.ts', [
      'this.#keepMs = [upperMs + allowedLatenessMs, allowedLatenessMs - lowerMs];',
      'this.#keepMs = [upperMs, -lowerMs];',
    ]),
    killedBy: ['rows', 'order-free-rows', 'task-failed'],
    workload: 'orders',
  },
  {
    name: 'lets rows of timers name the topic that was read last',
    patches: at('operators/records/record-rows.ts', ["this.#originate('');", '']),
    killedBy: ['replay', 'task-failed'],
    workload: 'orders',
  },
  {
    name: 'lets pages leave memory that were not written',
    patches: at('checkpoint/page-swap.ts', [
      'if (unsaved.length > 0) await this.#save(unsaved);',
      'for (const page of unsaved) page.unsaved = false;',
    ]),
    killedBy: ['rows', 'exchange', 'replay', 'digest', 'task-failed'],
    workload: 'devices',
  },
  {
    name: 'leaves pages that are not in memory out of checkpoints',
    patches: at('checkpoint/keyed-values.ts', [
      'else this.#missing(number, (bytes) => out.raw(bytes), undefined);',
      '',
    ]),
    killedBy: ['digest', 'replay', 'task-failed'],
    workload: 'devices',
  },
  {
    name: 'takes what comes back into memory as it is',
    patches: at('checkpoint/page-swap.ts', [
      'if (bytes !== null && bytes.length === this.#lengths[number] && crc32c(bytes) === this.#sums[number]) return bytes;',
      'if (bytes !== null) return bytes;',
    ]),
    killedBy: ['rows', 'exchange', 'replay', 'digest', 'task-failed'],
    workload: 'devices',
  },
  {
    name: 'takes an answer that was lost for one that says taken',
    patches: at('runtime/effect/delivery.ts', [
      'if (error instanceof StreamError && error.retryable) return error;',
      "if (error instanceof StreamError && error.retryable) return { status: 204, message: '', retryAfter: null, contentType: null };",
    ]),
    killedBy: ['receiver', 'receiver-order'],
    workload: 'writer',
  },
  {
    name: 'brings the second half of what was refused before the first',
    patches: at('runtime/effect/delivery.ts', [
      'await this.#deliver(start, middle, context);\n      await this.#deliver(middle, end, context);',
      'await this.#deliver(middle, end, context);\n      await this.#deliver(start, middle, context);',
    ]),
    killedBy: ['receiver-order'],
    workload: 'writer',
  },
  {
    name: 'brings again what a replay put into the outbox',
    patches: at('runtime/task/replay.ts', ['for (const effect of runner.effects) effect.discard();', '']),
    killedBy: ['receiver', 'receiver-order'],
    workload: 'writer',
  },
  {
    name: 'condemns what somebody refused who refuses everything',
    patches: at('runtime/effect/delivery.ts', [
      'if (refusal === null || this.#takesData) return refusal;',
      'return refusal;',
    ]),
    killedBy: ['receiver', 'receiver-order', 'dead-letters'],
    workload: 'writer',
  },
  {
    name: 'holds the first of the rows of a window instead of the newest',
    patches: at('operators/windows/held-rows.ts', ["if (newer < 0) return 'older';", "if (newer > 0) return 'older';"]),
    killedBy: ['receiver', 'receiver-order', 'dead-letters'],
    workload: 'writer',
  },
];
