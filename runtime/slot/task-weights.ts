// Owns what tasks weigh when they are spread over slots: how busy they were measured to be, and a little for being
// there. Pure.

/** Part of a core of a task that has nothing to do. */
const IDLE_SHARE = 0.001;
/** Of the mean, of a task that has little to do now: it may not be so for ever. */
const LEAST_PART = 0.1;

/** By key; `share` is the part of its time that a task works, null where it was not measured: then it counts as the mean. */
export function taskWeights(tasks: readonly (readonly [string, number | null])[]): ReadonlyMap<string, number> {
  const known = tasks.flatMap(([, share]) => share ?? []);
  const mean = known.length === 0 ? 0 : known.reduce((sum, share) => sum + share, 0) / known.length;
  const least = IDLE_SHARE + LEAST_PART * mean;
  return new Map(tasks.map(([key, share]) => [key, least + (share ?? mean)]));
}
