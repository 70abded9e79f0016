// Owns calling functions of a job: what they throw, and that they answer at once.

import { StreamError } from '#runtime/std/errors.ts';

/** What went wrong in a function of a job; `step` names it: `map 'celsius'`. A StreamError inside stays what it is. */
export function functionFailed(step: string, problem: string, where: string, cause?: unknown): StreamError {
  if (cause instanceof StreamError) return cause;
  return new StreamError(
    'operator-failed',
    `the function of ${step} ${problem} ${where}`,
    `mend the function of ${step} in the job's module; it must depend on what it is given alone`,
    { cause },
  );
}

export function threw(error: unknown): string {
  return `threw '${error instanceof Error ? error.message : String(error)}'`;
}

/** Whether a function answered with a promise: it would go on when the entry is over. */
export function isPromise(answer: unknown): boolean {
  return answer !== null && typeof answer === 'object' && typeof (answer as { then?: unknown }).then === 'function';
}

/** A value in a message, short. */
export function shown(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    text = String(value);
  }
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
