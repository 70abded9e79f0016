// Owns the slow meaning of a function with state that has a time to live and with timers by event time and by the clock,
// as Flink has them: what it is given of its state, which timers fire, when, and in which order.

import { RecordModel, type TakenRow } from '#test/simulation/oracle/record-model.ts';

export interface Sign {
  readonly user: string;
  readonly n: number;
  readonly act: 'note' | 'arm' | 'disarm' | 'clock' | 'clear';
  readonly delayMs: number;
  readonly at: number;
}

export interface PresenceRules {
  readonly ttlMs: number;
  readonly rearmMs: number;
  readonly to: string;
}

interface Cell<V> {
  readonly value: V;
  /** Event time of the last update, or the watermark if that was further. */
  readonly atMs: number;
}

interface Person {
  total: number;
  armedMs: number | null;
  recent: Cell<number> | null;
  /** Renewed when it is read, too. */
  acts: Cell<ReadonlyMap<string, number>> | null;
  list: Cell<readonly number[]> | null;
  readonly timers: Set<number>;
  readonly clockTimers: Set<number>;
}

export class PresenceModel extends RecordModel {
  fired = 0;
  clockFired = 0;
  expired = 0;
  readonly #rules: PresenceRules;
  readonly #people = new Map<string, Person>();

  constructor(rules: PresenceRules) {
    super();
    this.#rules = rules;
  }

  /** Event timers that wait. */
  get waiting(): number {
    return [...this.#people.values()].reduce((sum, { timers }) => sum + timers.size, 0);
  }

  override onRecord({ timestampMs, value }: TakenRow): void {
    const { act, at, delayMs, n, user } = value as Sign;
    const person = this.#person(user);
    const updatedMs = Math.max(timestampMs, this.watermarkMs);
    person.total++;
    const recent = (this.#living(person.recent)?.value ?? 0) + 1;
    person.recent = { value: recent, atMs: updatedMs };
    const acts = this.#living(person.acts);
    if (acts !== null) person.acts = { value: acts.value, atMs: updatedMs };
    const before = acts?.value.get(act) ?? null;
    if (act !== 'note') person.acts = { value: new Map([...(acts?.value ?? []), [act, n]]), atMs: updatedMs };
    const list = [...(this.#living(person.list)?.value ?? []), n];
    person.list = { value: list, atMs: updatedMs };
    this.put(this.#rules.to, user, timestampMs, { kind: 'sign', n, total: person.total, recent, before, list });
    if (act === 'clear') person.list = null;
    if (act === 'arm') {
      person.armedMs = at + delayMs;
      person.timers.add(at + delayMs);
    }
    if (act === 'disarm' && person.armedMs !== null) person.timers.delete(person.armedMs);
    if (act === 'clock') person.clockTimers.add(this.clockMs + Math.abs(delayMs));
    this.onWatermark();
  }

  // The earliest first; what a timer asks for may be due at once.
  override onWatermark(): void {
    for (;;) {
      const [user, dueMs] = earliest(this.#people, ({ timers }) => timers);
      if (dueMs > this.watermarkMs) return;
      const person = this.#person(user);
      person.timers.delete(dueMs);
      this.fired++;
      const recent = this.#living(person.recent)?.value ?? null;
      const list = this.#living(person.list)?.value ?? [];
      const { total } = person;
      const { watermarkMs } = this;
      this.put(this.#rules.to, user, dueMs, { kind: 'event-time', dueMs, watermarkMs, total, recent, list });
      if (recent !== null) person.timers.add(dueMs + this.#rules.rearmMs);
    }
  }

  override onClock(): number {
    for (let fired = 0; ; fired++) {
      const [user, dueMs] = earliest(this.#people, ({ clockTimers }) => clockTimers);
      if (dueMs > this.clockMs) return fired;
      const person = this.#person(user);
      person.clockTimers.delete(dueMs);
      this.clockFired++;
      const atMs = Number.isFinite(this.watermarkMs) ? this.watermarkMs : this.clockMs;
      const recent = this.#living(person.recent)?.value ?? null;
      const { total } = person;
      this.put(this.#rules.to, user, atMs, { kind: 'clock', dueMs, clockMs: this.clockMs, total, recent });
    }
  }

  #person(user: string): Person {
    let person = this.#people.get(user);
    if (person === undefined) {
      person = {
        ...{ total: 0, armedMs: null, recent: null, acts: null, list: null },
        timers: new Set(),
        clockTimers: new Set(),
      };
      this.#people.set(user, person);
    }
    return person;
  }

  #living<V>(cell: Cell<V> | null): Cell<V> | null {
    if (cell === null || cell.atMs + this.#rules.ttlMs > this.watermarkMs) return cell;
    this.expired++;
    return null;
  }
}

function earliest(people: ReadonlyMap<string, Person>, of: (person: Person) => ReadonlySet<number>): [string, number] {
  let first: [string, number] = ['', Number.POSITIVE_INFINITY];
  for (const [user, person] of people) {
    for (const timeMs of of(person)) if (timeMs < first[1]) first = [user, timeMs];
  }
  return first;
}
