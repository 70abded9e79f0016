// A worker thread that says what a slot says without running anything; what it should do wrong stands in workerData.

import { parentPort, workerData } from 'node:worker_threads';
import {
  assignmentKey,
  type FromSlot,
  type TaskAssignment,
  type TaskReport,
  type ToSlot,
} from '#runtime/slot/messages.ts';

export interface ObedientSlotData {
  /** Says `ready` only when this is told: 'ready' as a message. */
  readonly readyWhenTold: boolean;
}

const port = parentPort;
if (port === null) throw new Error('runs as a worker thread');
const tasks = new Map<string, TaskAssignment>();
/** By the number of their question. */
const asking: TaskAssignment[] = [];
const told: string[] = [];
const say = (message: FromSlot) => port.postMessage(message);

port.on('message', (message: ToSlot | 'close' | 'ready') => {
  if (message === 'close') process.exit(0);
  else if (message === 'ready') say({ kind: 'ready' });
  else if (message.kind === 'start') {
    for (const task of message.tasks) start(task);
  } else if (message.kind === 'stop') {
    for (const [key, assignment] of [...tasks]) {
      if (message.job !== null && assignment.job !== message.job) continue;
      tasks.delete(key);
      say({ kind: 'task-stopped', assignment, last: report(assignment) });
    }
  } else if (message.kind === 'stop-tasks') {
    const asked = (task: TaskAssignment) => message.tasks.some((one) => assignmentKey(one) === assignmentKey(task));
    for (const [key, assignment] of [...tasks]) {
      if (!asked(assignment) || assignment.stage === 'stays') continue;
      tasks.delete(key);
      say({ kind: 'task-stopped', assignment, last: report(assignment) });
    }
  } else if (message.kind === 'prepare') {
    say({ kind: 'prepared', request: message.request });
  } else if (
    message.kind === 'plan' ||
    message.kind === 'checkpoint' ||
    message.kind === 'drain' ||
    message.kind === 'state-memory'
  ) {
    told.push(message.kind);
  } else if (message.kind === 'state') {
    const { request, assignment } = message;
    if (assignment.stage === 'mute') return;
    if (assignment.stage === 'dies-when-asked') throw new Error('died of a question');
    say({ kind: 'state', request, reply: { kind: 'answer', answer: null } });
  } else if (message.kind === 'owned') {
    fail(asking[message.question], `owned-${message.owned}`);
  } else if (message.kind === 'status') {
    say({ kind: 'status', request: message.request, tasks: [...tasks.values()].map(report) });
  }
});
if (!(workerData as ObedientSlotData).readyWhenTold) say({ kind: 'ready' });

/** Stages are named after what goes wrong with their tasks. */
function start(task: TaskAssignment): void {
  if (tasks.has(assignmentKey(task))) throw new Error(`started twice: ${assignmentKey(task)}`);
  if (task.stage === 'dies') throw new Error('died of a task');
  tasks.set(assignmentKey(task), task);
  if (task.stage === 'never-returns') for (;;);
  if (task.stage === 'fails') fail(task, 'bad-record');
  else if (task.stage === 'asks') say({ kind: 'owns', question: asking.push(task) - 1, assignment: task });
  else say({ kind: 'task-live', assignment: task });
}

function fail(task: TaskAssignment, code: string): void {
  tasks.delete(assignmentKey(task));
  const failure = { code, message: 'no good', remedy: 'mend it', stack: '' };
  say({ kind: 'task-failed', assignment: task, failure, last: report(task) });
}

function report(assignment: TaskAssignment): TaskReport {
  return { assignment, status: null, restarts: 0, failures: [], exceptions: [], figures: null, stuckMs: 0 };
}
