// Owns the slow meaning of a keyed job of two stages without time: what a device has told, and what is known of a site
// from its devices.

import { RecordModel, type TakenRow } from '#test/simulation/oracle/record-model.ts';

export interface Told {
  readonly device: string;
  readonly site: string;
  readonly n: number;
  readonly word: string;
  /** Everything that is known of the device is forgotten. */
  readonly retired: boolean;
  readonly at: number;
}

export interface DeviceNews {
  readonly device: string;
  readonly site: string;
  readonly n: number;
  readonly count: number;
  readonly last: readonly number[];
  readonly words: readonly (readonly [string, number])[];
}

interface Device {
  count: number;
  last: number[];
  words: Map<string, number>;
}

export class DeviceModel extends RecordModel {
  readonly #to: string;
  readonly #lastMax: number;
  readonly #devices = new Map<string, Device>();

  constructor(to: string, lastMax: number) {
    super();
    this.#to = to;
    this.#lastMax = lastMax;
  }

  override onRecord({ timestampMs, value }: TakenRow): void {
    const { device, n, retired, site, word } = value as Told;
    if (retired) {
      this.#devices.delete(device);
      return;
    }
    const known = this.#devices.get(device) ?? { count: 0, last: [], words: new Map() };
    known.count++;
    known.last = [...known.last, n].slice(-this.#lastMax);
    known.words.set(word, n);
    this.#devices.set(device, known);
    const news: DeviceNews = { device, site, n, count: known.count, last: [...known.last], words: [...known.words] };
    this.put(this.#to, site, timestampMs, news);
  }
}

export class SiteModel extends RecordModel {
  readonly #to: string;
  readonly #sites = new Map<string, { told: number; readonly devices: Map<string, number> }>();

  constructor(to: string) {
    super();
    this.#to = to;
  }

  override onRecord({ key, timestampMs, value }: TakenRow): void {
    const { count, device, n } = value as DeviceNews;
    const site = this.#sites.get(key) ?? { told: 0, devices: new Map<string, number>() };
    site.told++;
    site.devices.set(device, count);
    this.#sites.set(key, site);
    const sum = [...site.devices.values()].reduce((total, one) => total + one, 0);
    this.put(this.#to, key, timestampMs, { site: key, n, told: site.told, devices: [...site.devices], sum });
  }
}
