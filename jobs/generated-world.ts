// Owns the world that generated samples tell of: services in regions, their load over the day, deploys host by host,
// and an incident now and then. Pure functions of seed and time, integrals in closed form, so that any moment can be
// asked for and counters count the same whoever asks.

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** Each service is deployed once in each of these, its hosts one after the other. */
const DEPLOY_SLOT_MS = 8 * HOUR_MS;
const DEPLOY_STEP_MS = 40 * SECOND_MS;
const INCIDENT_SLOT_MS = 2 * HOUR_MS;
const INCIDENT_SHARE = 0.3;
const INCIDENT_RAMP_MS = MINUTE_MS;
/** Traffic swings by this much over the day, and by less within minutes. */
const DAY_SWING = 0.55;
const WOBBLE_SWING = 0.1;
const WOBBLE_MS = 97 * SECOND_MS;
const ERROR_SHARE = 0.002;
/** Of the mean traffic, at the height of an incident. */
const INCIDENT_ERROR_SHARE = 0.2;

export interface Host {
  readonly service: string;
  readonly region: string;
  readonly name: string;
  /** Of its service, from 0. */
  readonly index: number;
  /** Of the service and of the host, 32 bits that look random. */
  readonly serviceHash: number;
  readonly hash: number;
  /** How busy it is compared to others, in [0, 1). */
  readonly level: number;
}

/** -1 at night to 1 in the afternoon, UTC. */
export function dayWave(ms: number): number {
  return -Math.cos((2 * Math.PI * (ms - 3 * HOUR_MS)) / DAY_MS);
}

/** When the host's process was started last: by a deploy. */
export function startedMs(seed: number, host: Host, ms: number): number {
  const slot = Math.floor(ms / DEPLOY_SLOT_MS);
  const at = deployMs(seed, host, slot);
  return at <= ms ? at : deployMs(seed, host, slot - 1);
}

function deployMs(seed: number, host: Host, slot: number): number {
  const begins = uniform(seed ^ 0x6d2b79f5, host.serviceHash, slot) * (DEPLOY_SLOT_MS - HOUR_MS);
  return slot * DEPLOY_SLOT_MS + Math.floor(begins / SECOND_MS) * SECOND_MS + host.index * DEPLOY_STEP_MS;
}

interface Incident {
  readonly beginMs: number;
  readonly endMs: number;
}

/** At most one in a slot, and whole within it. */
function incidentOf(seed: number, host: Host, slot: number): Incident | null {
  if (uniform(seed ^ 0x51ed270b, host.serviceHash, slot) >= INCIDENT_SHARE) return null;
  const lastsMs = (5 + 12 * uniform(seed ^ 0x2545f491, host.serviceHash, slot)) * MINUTE_MS;
  const beginMs =
    slot * INCIDENT_SLOT_MS + uniform(seed ^ 0x1b873593, host.serviceHash, slot) * (INCIDENT_SLOT_MS - lastsMs);
  return { beginMs, endMs: beginMs + lastsMs };
}

/** How bad it is for the host's service, 0 to 1. */
export function incidentLevel(seed: number, host: Host, ms: number): number {
  const incident = incidentOf(seed, host, Math.floor(ms / INCIDENT_SLOT_MS));
  return incident === null ? 0 : ramp(ms - incident.beginMs) - ramp(ms - incident.endMs + INCIDENT_RAMP_MS);
}

/** 0 before it begins, 1 when it has risen. */
function ramp(sinceMs: number): number {
  return Math.min(1, Math.max(0, sinceMs / INCIDENT_RAMP_MS));
}

/** Integral of `ramp` up to there, in seconds. */
function rampArea(sinceMs: number): number {
  const risen = Math.min(INCIDENT_RAMP_MS, Math.max(0, sinceMs));
  const after = Math.max(0, sinceMs - INCIDENT_RAMP_MS);
  return ((risen * risen) / (2 * INCIDENT_RAMP_MS) + after) / SECOND_MS;
}

/** Requests per second in the middle of the day's swing. */
function meanRate(host: Host): number {
  return 20 + 140 * host.level;
}

/** Requests and failed ones among them since the host's process started. */
export function requests(seed: number, host: Host, ms: number): { readonly all: number; readonly failed: number } {
  const from = startedMs(seed, host, ms);
  const rate = meanRate(host);
  const all = rate * (trafficArea(host, ms) - trafficArea(host, from));
  let seconds = 0;
  for (let slot = Math.floor(from / INCIDENT_SLOT_MS); slot * INCIDENT_SLOT_MS <= ms; slot++) {
    const incident = incidentOf(seed, host, slot);
    if (incident !== null) seconds += incidentArea(incident, ms) - incidentArea(incident, from);
  }
  return { all, failed: ERROR_SHARE * all + INCIDENT_ERROR_SHARE * rate * seconds };
}

function incidentArea({ beginMs, endMs }: Incident, ms: number): number {
  return rampArea(ms - beginMs) - rampArea(ms - endMs + INCIDENT_RAMP_MS);
}

/** Traffic at a moment compared to its mean; always above what an incident lets fail. */
export function traffic(host: Host, ms: number): number {
  return 1 + DAY_SWING * dayWave(ms) + WOBBLE_SWING * Math.sin((2 * Math.PI * ms) / WOBBLE_MS + host.hash);
}

/** Integral of `traffic` in seconds, up to a constant. */
function trafficArea(host: Host, ms: number): number {
  const day = (-DAY_SWING * DAY_MS * Math.sin((2 * Math.PI * (ms - 3 * HOUR_MS)) / DAY_MS)) / (2 * Math.PI);
  const wobble = (-WOBBLE_SWING * WOBBLE_MS * Math.cos((2 * Math.PI * ms) / WOBBLE_MS + host.hash)) / (2 * Math.PI);
  return (ms + day + wobble) / SECOND_MS;
}

/** A number in [0, 1) that looks random and depends on its three arguments only. */
export function uniform(seed: number, series: number, tick: number): number {
  let h = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(series, 0xc2b2ae35) ^ Math.imul(tick, 0x27d4eb2f);
  h ^= Math.floor(tick / 2 ** 32);
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
}
