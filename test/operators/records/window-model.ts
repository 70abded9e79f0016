// Owns what windows over records must put out, by keeping every record of every window in plain lists and looking
// through all of them at every step. Slow on purpose; shares nothing with the operators it judges.

export interface ModelOptions {
  readonly kind: 'tumbling' | 'sliding' | 'session' | 'global';
  readonly sizeMs: number;
  readonly slideMs: number;
  readonly offsetMs: number;
  readonly gapMs: number;
  readonly latenessMs: number;
  readonly atEnd: boolean;
  readonly earlyMs: number | null;
  readonly earlyByClock: boolean;
  readonly count: number | null;
  readonly purge: boolean;
}

export interface ModelRow {
  readonly slot: number;
  readonly timeMs: number;
  readonly record?: unknown;
}

interface Kept {
  slot: number;
  start: number;
  end: number;
  elements: unknown[];
  sinceFiring: number;
  revision: number;
  early: number | null;
  ended: boolean;
}

export class WindowModel {
  /** As the rig collects them: step, slot, event time, record. */
  readonly sent: unknown[][] = [];
  watermarkMs = Number.NEGATIVE_INFINITY;
  clockMs = 0;
  readonly #options: ModelOptions;
  #kept: Kept[] = [];

  constructor(options: ModelOptions) {
    this.#options = options;
  }

  get open(): number {
    return this.#kept.length;
  }

  row(row: ModelRow): void {
    const windows = this.#windowsOf(row);
    if (windows === 'late') this.sent.push(['late', row.slot, row.timeMs, row.record]);
    else for (const window of windows) this.#add(window, row);
  }

  watermark(timeMs: number): void {
    const before = this.watermarkMs;
    this.watermarkMs = Math.max(before, timeMs);
    for (;;) {
      const due = this.#kept
        .flatMap((window) => this.#eventTimes(window).map(([time, what]) => ({ time, what, window })))
        .filter(({ time }) => time <= this.watermarkMs)
        .sort((a, b) => a.time - b.time || a.window.slot - b.window.slot || a.window.start - b.window.start);
      if (due.length === 0) return;
      this.#happen(due[0].window, due[0].what, due[0].time);
    }
  }

  clock(timeMs: number): void {
    this.clockMs = timeMs;
    if (!this.#options.earlyByClock) return;
    for (;;) {
      const due = this.#kept
        .filter(({ early }) => early !== null && early <= timeMs)
        .sort((a, b) => a.early! - b.early! || a.slot - b.slot || a.start - b.start);
      if (due.length === 0) return;
      const timeOfResult = Number.isFinite(this.watermarkMs) ? this.watermarkMs : timeMs;
      this.#happen(due[0], 'early', due[0].early!, timeOfResult);
    }
  }

  #windowsOf(row: ModelRow): Kept[] | 'late' {
    const { kind, sizeMs, slideMs, offsetMs, gapMs } = this.#options;
    if (kind === 'global') {
      return [this.#window(row.slot, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY)];
    }
    if (kind === 'session') return this.#session(row, row.timeMs + gapMs);
    const step = kind === 'tumbling' ? sizeMs : slideMs;
    const spans: number[] = [];
    // From a start that is surely too early, step by step.
    let start = offsetMs + step * Math.floor((row.timeMs - offsetMs - sizeMs) / step - 2);
    for (; start <= row.timeMs; start += step) if (start + sizeMs > row.timeMs) spans.push(start);
    const alive = spans.filter((from) => !this.#isOver(from + sizeMs));
    if (spans.length > 0 && alive.length === 0) return 'late';
    return alive.map((from) => this.#window(row.slot, from, from + sizeMs));
  }

  #session(row: ModelRow, end: number): Kept[] | 'late' {
    const touched = this.#kept
      .filter((window) => window.slot === row.slot && window.start <= end && window.end >= row.timeMs)
      .sort((a, b) => a.start - b.start);
    if (touched.length === 0) return this.#isOver(end) ? 'late' : [this.#window(row.slot, row.timeMs, end)];
    const early = touched.flatMap((window) => (window.early === null ? [] : [window.early]));
    const merged: Kept = {
      slot: row.slot,
      start: Math.min(row.timeMs, ...touched.map((window) => window.start)),
      end: Math.max(end, ...touched.map((window) => window.end)),
      elements: touched.flatMap((window) => window.elements),
      sinceFiring: touched.reduce((sum, window) => sum + window.sinceFiring, 0),
      revision: Math.max(...touched.map((window) => window.revision)),
      early: early.length === 0 ? null : Math.min(...early),
      ended: false,
    };
    merged.ended = merged.end <= this.watermarkMs;
    this.#kept = [...this.#kept.filter((window) => !touched.includes(window)), merged];
    return [merged];
  }

  #window(slot: number, start: number, end: number): Kept {
    const known = this.#kept.find((window) => window.slot === slot && window.start === start && window.end === end);
    if (known !== undefined) return known;
    const ended = end <= this.watermarkMs;
    const window: Kept = { slot, start, end, elements: [], sinceFiring: 0, revision: 0, early: null, ended };
    this.#kept.push(window);
    return window;
  }

  #isOver(end: number): boolean {
    return end + this.#options.latenessMs <= this.watermarkMs;
  }

  #add(window: Kept, row: ModelRow): void {
    const { atEnd, count, earlyMs, earlyByClock } = this.#options;
    window.elements.push(row.record);
    window.sinceFiring++;
    if (atEnd && window.end <= this.watermarkMs) this.#emit(window, row.timeMs);
    else if (count !== null && window.sinceFiring >= count) this.#emit(window, row.timeMs);
    else if (earlyMs !== null) {
      const after = earlyByClock ? this.clockMs : Math.max(row.timeMs, this.watermarkMs);
      let next = Math.ceil(after / earlyMs) * earlyMs + 0;
      if (next <= after) next += earlyMs;
      if (!earlyByClock && next >= window.end) return;
      window.early = window.early === null ? next : Math.min(window.early, next);
    }
  }

  #eventTimes(window: Kept): [number, 'early' | 'end' | 'over'][] {
    const { atEnd, earlyByClock, latenessMs } = this.#options;
    const times: [number, 'early' | 'end' | 'over'][] = [];
    if (window.early !== null && !earlyByClock) times.push([window.early, 'early']);
    if (atEnd && !window.ended) times.push([window.end, 'end']);
    else times.push([window.end + latenessMs, 'over']);
    return times;
  }

  #happen(window: Kept, what: 'early' | 'end' | 'over', timeMs: number, timeOfResult = timeMs): void {
    if (what === 'early') {
      window.early = null;
      if (window.sinceFiring > 0) this.#emit(window, timeOfResult);
    } else if (what === 'end') {
      window.ended = true;
      if (window.elements.length > 0) this.#emit(window, timeMs);
    } else this.#kept = this.#kept.filter((kept) => kept !== window);
  }

  #emit(window: Kept, timeMs: number): void {
    const isGlobal = window.end === Number.POSITIVE_INFINITY;
    const span = isGlobal ? [] : [window.start, window.end];
    const record = [...span, window.revision, window.elements.slice()];
    this.sent.push(['out', window.slot, isGlobal ? timeMs : window.end - 1, record]);
    window.revision++;
    window.sinceFiring = 0;
    if (!this.#options.purge) return;
    window.elements = [];
    // A global window that holds nothing is as good as none.
    if (isGlobal) this.#kept = this.#kept.filter((kept) => kept !== window);
  }
}
