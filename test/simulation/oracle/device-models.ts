// Owns the slow meaning of a keyed job of two stages without time: what a device has told, and what is known of a site
// from its devices. Versions of the job differ in how they count, and in whether they tally what is told of a site.

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

/** How a version of the job counts. */
export interface DeviceVersion {
  /** What one more of a device adds. */
  readonly step: number;
  /** Whether what is told of a site is tallied, too; what was tallied before a version without it is lost. */
  readonly tally: boolean;
}

interface Device {
  count: number;
  last: number[];
  words: Map<string, number>;
}

export class DeviceModel extends RecordModel {
  readonly #to: string;
  readonly #lastMax: number;
  readonly #versions: readonly DeviceVersion[];
  readonly #devices = new Map<string, Device>();

  constructor(to: string, lastMax: number, versions: readonly DeviceVersion[]) {
    super();
    this.#to = to;
    this.#lastMax = lastMax;
    this.#versions = versions;
  }

  override onRecord({ timestampMs, value }: TakenRow): void {
    const { device, n, retired, site, word } = value as Told;
    if (retired) {
      this.#devices.delete(device);
      return;
    }
    const known = this.#devices.get(device) ?? { count: 0, last: [], words: new Map() };
    known.count += this.#versions[this.code].step;
    known.last = [...known.last, n].slice(-this.#lastMax);
    known.words.set(word, n);
    this.#devices.set(device, known);
    const news: DeviceNews = { device, site, n, count: known.count, last: [...known.last], words: [...known.words] };
    this.put(this.#to, site, timestampMs, news);
  }

  override onAdopt(part: DeviceModel, owns: (key: string) => boolean): void {
    for (const [key, { count, last, words }] of part.#devices) {
      if (owns(key)) this.#devices.set(key, { count, last: [...last], words: new Map(words) });
    }
  }
}

interface Site {
  told: number;
  readonly devices: Map<string, number>;
}

export class SiteModel extends RecordModel {
  readonly #to: string;
  readonly #tallyTo: string;
  readonly #versions: readonly DeviceVersion[];
  readonly #sites = new Map<string, Site>();
  readonly #tallies = new Map<string, number>();

  constructor(to: string, tallyTo: string, versions: readonly DeviceVersion[]) {
    super();
    this.#to = to;
    this.#tallyTo = tallyTo;
    this.#versions = versions;
  }

  override onEntry(): void {
    if (!this.#versions[this.code].tally) this.#tallies.clear();
  }

  override onRecord({ key, timestampMs, value }: TakenRow): void {
    const { count, device, n } = value as DeviceNews;
    const site = this.#sites.get(key) ?? { told: 0, devices: new Map<string, number>() };
    site.told++;
    site.devices.set(device, count);
    this.#sites.set(key, site);
    const sum = [...site.devices.values()].reduce((total, one) => total + one, 0);
    this.put(this.#to, key, timestampMs, { site: key, n, told: site.told, devices: [...site.devices], sum });
    if (!this.#versions[this.code].tally) return;
    const tally = (this.#tallies.get(key) ?? 0) + n;
    this.#tallies.set(key, tally);
    this.put(this.#tallyTo, key, timestampMs, { site: key, n, tally });
  }

  override onAdopt(part: SiteModel, owns: (key: string) => boolean): void {
    for (const [key, { devices, told }] of part.#sites) {
      if (owns(key)) this.#sites.set(key, { told, devices: new Map(devices) });
    }
    for (const [key, tally] of part.#tallies) if (owns(key)) this.#tallies.set(key, tally);
  }
}
