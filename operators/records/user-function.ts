// Owns calling functions of a job: what they throw, and that they answer at once.

import { StreamError } from '#runtime/std/errors.ts';

/** How engines say that something frozen would have been changed. */
const CHANGES_FROZEN = /read only property|is not extensible|Cannot delete property/;

/** What went wrong in a function of a job; `step` names it: `map 'celsius'`. A StreamError inside keeps code and remedy. */
export function functionFailed(step: string, problem: string, where: string, cause?: unknown): StreamError {
  if (cause instanceof StreamError) {
    // It was ours already when the function let it through.
    if (cause.message.includes(where)) return cause;
    return new StreamError(cause.code, `${step} ${where}: ${cause.message}`, cause.remedy, { cause });
  }
  const rule =
    cause instanceof TypeError && CHANGES_FROZEN.test(cause.message)
      ? 'what other steps or a state have too cannot be changed: give a new value, such as { ...record, name: value }'
      : 'it must depend on what it is given alone';
  return new StreamError(
    'operator-failed',
    `the function of ${step} ${problem} ${where}`,
    `mend the function of ${step} in the job's module; ${rule}`,
    { cause },
  );
}

export function threw(error: unknown): string {
  return `threw '${error instanceof Error ? error.message : String(error)}'`;
}

/** Whether a function answered with a promise: it would go on when the entry is over. */
export function isPromise(answer: unknown): boolean {
  if (answer === null || typeof answer !== 'object') return false;
  const { then } = answer as { readonly then?: unknown };
  if (typeof then !== 'function') return false;
  // When it fails later nobody listens any more, and that would end the thread with all its tasks.
  then.call(answer, unheard, unheard);
  return true;
}

function unheard(): void {}

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
