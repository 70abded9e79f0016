// Owns answering the scripts of `millrace completion`: quickly, and silently when no process answers.

import { askApi } from '#jobs/commands/api-client.ts';
import { completedWords, type KnownNames } from '#jobs/commands/completed-words.ts';
import type { JobView, StateOperatorsView } from '#runtime/http/contract.ts';
import type { JobVersionView, SavepointView } from '#runtime/http/deploy-contract.ts';

/** Nobody waits longer for a word. */
const PATIENCE_MS = 700;

/** Words, one a line; nothing where the shell knows better. */
export async function complete(
  words: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  const ask = async <T>(url: string | null, path: string): Promise<T | null> => {
    try {
      return await askApi<T>({ url, environment, timeoutMs: PATIENCE_MS }, path);
    } catch {
      return null;
    }
  };
  const names: KnownNames = {
    jobs: async (url) =>
      (await ask<{ readonly jobs?: readonly JobView[] }>(url, '/jobs'))?.jobs?.map(({ name }) => name) ?? [],
    operators: async (url, job) =>
      (await ask<Partial<StateOperatorsView>>(url, `/jobs/${encodeURIComponent(job)}/state`))?.operators ?? [],
    savepoints: async (url, job) => {
      const path = `/jobs/${encodeURIComponent(job)}/savepoints`;
      const answer = await ask<{ readonly savepoints?: readonly SavepointView[] }>(url, path);
      return answer?.savepoints?.map(({ id }) => id) ?? [];
    },
    versions: async (url, job) => {
      const path = `/jobs/${encodeURIComponent(job)}/versions`;
      const answer = await ask<{ readonly versions?: readonly JobVersionView[] }>(url, path);
      return answer?.versions?.flatMap(({ kept, version }) => (kept ? [version] : [])) ?? [];
    },
  };
  const offered = (await completedWords(words, names)) ?? [];
  return offered.map((word) => `${word}\n`).join('');
}
