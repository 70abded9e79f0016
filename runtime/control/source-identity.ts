// Owns that a job goes on only with the source topic it began with: same id, same partitions. Knows nothing of offsets
// or records. Invariant: a fault names what was, what is, and what can be done.

import type { TopicDescription } from '#runtime/log/contract.ts';
import { StreamError } from '#runtime/std/errors.ts';

/** What is left when something that cannot be replaced is gone. */
export const BEGIN_ANEW =
  'to begin anew, give the job another name and other output topics: it reads its source from the start';

/** The first fault among the sources of a job; those it has now stand in the order of those it began with. */
export function sourcesFault(
  job: string,
  began: readonly TopicDescription[],
  now: readonly TopicDescription[],
): StreamError | null {
  for (const [at, was] of began.entries()) {
    const same = now.find(({ topic }) => topic === was.topic) ?? now[at];
    if (same === undefined) return removedSource(job, was.topic);
    const fault = sourceFault(job, was, same);
    if (fault !== null) return fault;
  }
  return null;
}

function removedSource(job: string, topic: string): StreamError {
  const message = `job ${job} began with source topic '${topic}' and is now told not to read it`;
  return new StreamError('job-invalid', message, `name it again; ${BEGIN_ANEW}`);
}

/** What keeps a job from going on with its source as it is now (null: it does not exist), or null when all is well. */
export function sourceFault(job: string, was: TopicDescription, now: TopicDescription | null): StreamError | null {
  const { topic, topicId, partitionCount } = was;
  const about = `job ${job}: source topic '${topic}'`;
  if (now === null) {
    return new StreamError(
      'topic-unknown',
      `${about} is gone`,
      `restore it with its records and offsets; ${BEGIN_ANEW}`,
    );
  }
  if (now.topic !== topic) {
    const message = `job ${job} began with source topic '${topic}' and is now told to read '${now.topic}'`;
    return new StreamError('job-invalid', message, `set source.topic back; ${BEGIN_ANEW}`);
  }
  if (now.topicId !== topicId) {
    const message = `${about} was deleted and created again (id ${topicId}, now ${now.topicId})`;
    return new StreamError('topic-recreated', message, `its old offsets mean nothing in the new topic; ${BEGIN_ANEW}`);
  }
  if (now.partitionCount !== partitionCount) {
    const message = `${about} had ${partitionCount} partitions when the job began and has ${now.partitionCount}`;
    const remedy = `its keys have moved between partitions, and no record of the new ones was read; ${BEGIN_ANEW}`;
    return new StreamError('topic-partitions-changed', message, remedy);
  }
  return null;
}
