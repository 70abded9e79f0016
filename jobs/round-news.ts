// Owns what a process tells of a round of the group: with how many it shares the installation, what of it runs here, and
// that it runs nothing because the others are of another version. Tells a thing once.

import type { MembershipView } from '#runtime/control/membership-view.ts';
import type { Logger } from '#runtime/std/logger.ts';

export class RoundNews {
  readonly #engine: string;
  readonly #logger: Logger;
  #told = '';
  /** Engine of the process that changes jobs, when it was looked at last. */
  #leads: string | null = null;

  constructor(engine: string, logger: Logger) {
    this.#engine = engine;
    this.#logger = logger;
  }

  tell({ controlOwner, members, mine, moving, owners }: MembershipView): void {
    const news = `one of ${members.length} processes of the installation: ${mine.size} of ${owners.size} tasks run here`;
    // While tasks are on their way there is more to come.
    if (news !== this.#told && moving.size === 0) {
      this.#told = news;
      this.#logger.info({ processes: members.length, tasks: mine.size }, news);
    }
    const leads = members.find(({ processId }) => processId === controlOwner)?.engineVersion ?? null;
    if (leads === null || leads === this.#leads) return;
    this.#leads = leads;
    if (leads === this.#engine) return;
    const remedy = 'stop the other processes one after the other: the last of them leaves its tasks to this version';
    this.#logger.warn({ remedy }, `this process is version ${this.#engine} and waits beside version ${leads}`);
  }
}
