// Owns turning the options of a receiver into what decides output (plan) and what does not (connection). Every fault is
// collected. Invariant: no fault shows a credential.

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { Fault } from '#jobs/faults.ts';
import type { RemoteWriteStep } from '#jobs/graph.ts';
import type { CheckedStep } from '#jobs/graph-check.ts';
import { isPlainObject, OptionReader, show } from '#jobs/option-reader.ts';
import type { RemoteWritePlan, SourcePlan, TargetConnection } from '#jobs/plan.ts';
import type { Carried } from '#jobs/record-check.ts';

const OPTIONS = [
  'name',
  'url',
  'mode',
  'lateness',
  'corrections',
  'names',
  'basicAuth',
  'bearerToken',
  'headers',
  'tls',
  'timeout',
  'requestSamplesMax',
  'requestBytesMax',
  'queueBytesMax',
  'id',
];
const DAY_MS = 86_400_000;
const KIB = 1024;
const MIB = 1024 * KIB;
const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;
/** Visible characters, spaces and tabs: what a header may hold. */
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const OWN_HEADERS = [
  ...['content-type', 'content-encoding', 'content-length', 'authorization', 'host', 'user-agent'],
  'x-prometheus-remote-write-version',
  // Of the connection, which is kept.
  ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'te', 'trailer', 'upgrade', 'expect'],
];

/** The step that sends what `upstream` gives to a receiver; `source`: what it is fed by when nothing stands between. */
export function checkRemoteWrite(
  step: RemoteWriteStep,
  carried: Carried,
  upstream: string,
  source: SourcePlan | null,
  faults: Fault[],
): Extract<CheckedStep, { kind: 'remote-write' }> {
  const path = `target ${show(step.target.options?.name)}`;
  if (carried !== 'samples' && carried !== 'rows of a topic') {
    const remedy =
      carried === 'rows'
        ? 'send the rows to a topic, and from there to the receiver: rows({ topic })'
        : 'send samples to it, or rows of a topic';
    faults.push({ path, message: `is fed ${carried}`, remedy });
  }
  const { connection, id, plan } = checkTarget(step.target.options, path, carried === 'rows of a topic', faults);
  if (source?.kind === 'rows' && source.format === 'remote-write' && plan.hold !== null) {
    faults.push({
      path: `${path}.mode`,
      message: "is 'final', but rows as remote write do not say which of them are corrections",
      remedy: "have the rows written as JSON or Avro: topic(name, { format: 'avro' }), or set mode to 'replaceable'",
    });
  }
  const derived = `${upstream}-to-${plan.target}`.slice(0, 64);
  return { kind: 'remote-write', id: id ?? derived, input: step.input, ...plan, connection };
}

/** A task waits for its receiver: whatever else came from the same source would wait too. */
export function checkAlone(step: CheckedStep, steps: readonly CheckedStep[], faults: Fault[]): void {
  if (step.kind !== 'remote-write') return;
  const sourceOfStep = (of: CheckedStep): number => (of.input < 0 ? of.input : sourceOfStep(steps[of.input]));
  const ends = (of: CheckedStep) => of.kind === 'topic' || of.kind === 'remote-write' || of.kind === 'keyBy';
  const source = sourceOfStep(step);
  const beside = steps.find((other) => other !== step && ends(other) && sourceOfStep(other) === source);
  if (beside === undefined) return;
  faults.push({
    path: `target ${show(step.target)}`,
    message: `shares its source with ${beside.kind} ${show(beside.id)}, which would wait for it`,
    remedy: 'name the topic twice in sources, and give each its own',
  });
}

interface CheckedTarget {
  /** Null: derived. */
  readonly id: string | null;
  readonly plan: RemoteWritePlan;
  readonly connection: TargetConnection;
}

/** `carriesRows`: what it is fed are rollup rows, else samples. */
function checkTarget(given: unknown, path: string, carriesRows: boolean, faults: Fault[]): CheckedTarget {
  const options = new OptionReader(faults, path, given, OPTIONS);
  if (options.required('name', "name the receiver: name: 'prometheus'")) options.id('name', '');
  const name = options.text('name', 'unnamed');
  options.required('mode', "say 'final' for receivers that take a sample once, as Prometheus, else 'replaceable'");
  const mode = options.oneOf('mode', ['replaceable', 'final'], 'final');
  if (mode === 'replaceable' || !carriesRows) {
    const why = carriesRows ? 'is of final targets only' : 'is of rows only: samples are not corrected';
    for (const of of ['corrections', ...(mode === 'replaceable' ? ['lateness'] : [])]) {
      if (options.has(of)) options.fault(of, why, 'leave it out');
    }
  }
  const corrections = options.oneOf('corrections', ['wait', 'drop'], 'wait');
  const latenessMs = options.duration('lateness', 0, { max: 30 * DAY_MS });
  if (corrections === 'drop' && latenessMs > 0) {
    options.fault('lateness', 'waits for corrections that are dropped', "leave it out, or set corrections to 'wait'");
  }
  const hold = mode === 'final' ? { latenessMs, corrections } : null;
  const names = options.oneOf('names', ['any', 'prometheus'], mode === 'final' ? 'prometheus' : 'any');
  return {
    id: options.has('id') ? options.id('id', '') : null,
    plan: { target: name, hold, names },
    connection: checkConnection(options, path, faults),
  };
}

function checkConnection(options: OptionReader, path: string, faults: Fault[]): TargetConnection {
  const tls = new OptionReader(faults, `${path}.tls`, options.raw('tls'), ['ca', 'certificate', 'key']);
  return {
    url: checkUrl(options, "give the whole address: 'http://prometheus:9090/api/v1/write'"),
    headers: { ...checkHeaders(options, faults), ...checkAuthorization(options, faults) },
    ...checkTls(tls),
    timeoutMs: options.duration('timeout', 30_000, { min: 100, max: 600_000 }),
    requestSamplesMax: options.integer('requestSamplesMax', 5_000, { min: 1, max: 1_000_000 }),
    requestBytesMax: options.size('requestBytesMax', MIB, { min: KIB, max: 32 * MIB }),
    queueBytesMax: options.size('queueBytesMax', 8 * MIB, { min: 64 * KIB, max: 1024 * MIB }),
  };
}

export function checkUrl(options: OptionReader, remedy: string): string {
  if (!options.required('url', remedy)) return '';
  const text = options.text('url', '');
  if (text === '') return '';
  // Whatever is wrong with it, a password may stand in it.
  if (/\/\/[^/]*@/.test(text)) {
    options.fault('url', 'holds a user or password', 'give them as basicAuth: { user, password }');
    return '';
  }
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    options.fault('url', `${show(text)} is no http or https address`, remedy);
    return '';
  }
  return text;
}

/** A value that the author gave and the environment did not. */
function isUnset(given: unknown, name: string): boolean {
  return isPlainObject(given) && name in given && given[name] === undefined;
}

const UNSET = 'set the variable of the environment that it comes from, or leave it out';

export function checkAuthorization(options: OptionReader, faults: Fault[]): { readonly authorization?: string } {
  const basic = options.raw('basicAuth');
  const all = options.all();
  if (isUnset(all, 'bearerToken')) options.fault('bearerToken', 'is not set', UNSET);
  if (basic !== undefined && options.has('bearerToken')) {
    options.fault('bearerToken', 'stands beside basicAuth', 'give one of them');
  }
  if (options.has('bearerToken')) {
    const token = options.raw('bearerToken');
    if (typeof token === 'string' && token !== '' && HEADER_VALUE.test(token))
      return { authorization: `Bearer ${token}` };
    options.fault('bearerToken', 'is no token', 'give a text without line breaks');
    return {};
  }
  if (basic === undefined) return {};
  const reader = new OptionReader(faults, options.pathOf('basicAuth'), basic, ['user', 'password']);
  for (const name of ['user', 'password']) {
    if (typeof reader.raw(name) !== 'string') reader.fault(name, 'is not set', UNSET);
  }
  const { user, password } = isPlainObject(basic) ? basic : {};
  if (String(user).includes(':')) reader.fault('user', 'holds a colon', 'basic authentication cannot carry it');
  return { authorization: `Basic ${Buffer.from(`${String(user)}:${String(password)}`).toString('base64')}` };
}

function checkHeaders(options: OptionReader, faults: Fault[]): Readonly<Record<string, string>> {
  const given = options.raw('headers');
  if (given === undefined) return {};
  const path = options.pathOf('headers');
  if (!isPlainObject(given)) {
    faults.push({ path, message: 'is no object', remedy: "give headers: { 'X-Scope-OrgID': 'team-a' }" });
    return {};
  }
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(given)) {
    const fault = (message: string, remedy: string) => faults.push({ path: `${path}.${name}`, message, remedy });
    if (OWN_HEADERS.includes(name.toLowerCase())) fault('is set by the writer', 'remove it');
    else if (!HEADER_NAME.test(name)) fault('is no name of a header', 'correct it');
    else if (value === undefined) fault('is not set', UNSET);
    else if (typeof value !== 'string' || !HEADER_VALUE.test(value)) fault('has no text', 'give one line of text');
    else headers[name.toLowerCase()] = value;
  }
  return headers;
}

function checkTls(options: OptionReader): Pick<TargetConnection, 'ca' | 'certificate' | 'key'> {
  const [ca, certificate, key] = ['ca', 'certificate', 'key'].map((name) => readPem(options, name));
  if (ca !== null && !areCertificates(ca)) {
    options.fault('ca', 'holds no certificates that can be read', 'give those of the authorities to trust, as PEM');
  }
  if (certificate !== null && key === null && !options.has('key')) {
    options.fault('key', 'is missing beside certificate', 'give the key of the certificate');
  } else if (key !== null && certificate === null && !options.has('certificate')) {
    options.fault('certificate', 'is missing beside key', 'give the certificate that the key is of');
  } else if (certificate !== null && key !== null && !isPair(certificate, key)) {
    const remedy = 'give a certificate and its own key, as PEM and without a passphrase';
    options.fault('key', 'is not that of the certificate, or one of them cannot be read', remedy);
  }
  return { ca, certificate, key };
}

/** Node trusts nobody when it cannot read them, and says nothing. */
function areCertificates(pem: string): boolean {
  const blocks = pem.split(/(?=-----BEGIN CERTIFICATE-----)/).filter((block) => block.startsWith('-----BEGIN'));
  try {
    for (const block of blocks) new X509Certificate(block);
    return blocks.length > 0;
  } catch {
    return false;
  }
}

function isPair(certificate: string, key: string): boolean {
  try {
    createSecureContext({ cert: certificate, key });
    return true;
  } catch {
    return false;
  }
}

/** The text itself, or that of the file it names. */
function readPem(options: OptionReader, name: string): string | null {
  if (isUnset(options.all(), name)) options.fault(name, 'is not set', UNSET);
  const given = options.text(name, null);
  if (given === null || given.startsWith('-----BEGIN')) return given;
  try {
    const text = readFileSync(given, 'utf8');
    if (text.includes('-----BEGIN')) return text;
    options.fault(name, `${show(given)} is no PEM file`, 'give a file that holds -----BEGIN …-----');
  } catch {
    options.fault(name, `${show(given)} cannot be read`, 'correct the path, or the rights of the file');
  }
  return null;
}
