// Owns the tables of keys that a stage of a script has: `series` for the keys that are said in it, `keys` for those that
// a keyBy gives.

import { SeriesTable } from '#operators/series/series-table.ts';

export type TableName = 'series' | 'keys';

export class ScriptTables {
  readonly #tables: Record<TableName, SeriesTable>;

  constructor() {
    this.#tables = { series: new SeriesTable({ stateId: 'series' }), keys: new SeriesTable({ stateId: 'keys' }) };
    for (const table of Object.values(this.#tables)) table.open({ register: () => ({ epoch: 1, touch: () => {} }) });
  }

  get series(): SeriesTable {
    return this.#tables.series;
  }

  get keys(): SeriesTable {
    return this.#tables.keys;
  }

  /** For operators that own the table: a new one, which they open and which is restored with them. */
  renew(name: TableName): SeriesTable {
    this.#tables[name] = new SeriesTable({ stateId: name });
    return this.#tables[name];
  }

  slotOf(key: string): number {
    return key === '-' ? -1 : this.series.slotOfText(key);
  }

  keyOf(name: TableName, slot: number): string {
    return slot < 0 ? '-' : this.#tables[name].canonicalBytes(slot).toString();
  }

  /** What each table that was used holds: `series: 0 up, 2 cpu{host="a"}`. */
  lines(): string[] {
    const lines: string[] = [];
    for (const [name, table] of Object.entries(this.#tables)) {
      const live = Array.from({ length: table.slotCount }, (_, slot) => slot).filter((slot) => table.isLive(slot));
      const texts = live.map((slot) => `${slot} ${table.canonicalBytes(slot)}`);
      if (texts.length > 0) lines.push(`${name}: ${texts.join(', ')}`);
    }
    return lines;
  }
}
