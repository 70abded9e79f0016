// Owns telling which format a record of samples is in: by its header content-type, else by its first bytes. Decodes
// nothing. Invariant: the answer depends on the record and the configuration alone.

import { InfluxLineScanner } from '#operators/formats/influx-line.ts';
import { RecordHeaders } from '#operators/formats/record-headers.ts';

export type DetectedFormat = 'json' | 'avro' | 'remote-write' | 'otlp' | 'influx';

const CONTENT_TYPE = Buffer.from('content-type');
const CONTENT_ENCODING = Buffer.from('content-encoding');
const SNAPPY = Buffer.from('snappy');
const RESOURCE_METRICS = Buffer.from('"resourceMetrics"');

const SPACE = 0x20;
const OPEN = 0x7b;
const OPEN_ARRAY = 0x5b;
/** Tag of the repeated field 1, with which requests of both protobuf formats begin; of metadata in remote write. */
const FIELD_1 = 0x0a;
const FIELD_3 = 0x1a;
const FRAME_BYTES = 5;
/** Broken lines after which text is not taken for Influx. */
const BROKEN_LINES_MAX = 100;

export interface FormatDetectorOptions {
  /** Whether records may begin with 0 and a schema id. */
  readonly hasRegistry: boolean;
  /** Whether there is a schema for Avro records without a frame. */
  readonly hasSchema: boolean;
}

export class FormatDetector {
  /** Content type of the last record without an answer, for people. */
  contentType = '';
  readonly #options: FormatDetectorOptions;
  readonly #headers = new RecordHeaders();
  readonly #line = new InfluxLineScanner();
  /** The content type seen last, and what it means: most topics have one. */
  #knownType: Buffer = Buffer.alloc(0);
  #knownFormat: DetectedFormat | 'protobuf' | 'json-text' | null = null;

  constructor(options: FormatDetectorOptions) {
    this.#options = options;
  }

  /** Format of the value bytes[start, end) of a record whose headers lie in `record`; null: none that is known. */
  detect(bytes: Buffer, start: number, end: number, record: Buffer, headersAt: number): DetectedFormat | null {
    this.contentType = '';
    const byHeader = this.#byHeader(record, headersAt);
    if (byHeader === 'protobuf') {
      const isSnappy = this.#headers.find(record, headersAt, CONTENT_ENCODING) && this.#headerIs(record, SNAPPY);
      return isSnappy || !isRequest(bytes, start, end) ? 'remote-write' : 'otlp';
    }
    if (byHeader === 'json-text') return jsonFormat(bytes, start, end);
    return byHeader ?? this.#byBytes(bytes, start, end);
  }

  #headerIs(bytes: Buffer, text: Buffer): boolean {
    const { valueEnd, valueStart } = this.#headers;
    return bytes.compare(text, 0, text.length, valueStart, valueEnd) === 0;
  }

  #byHeader(bytes: Buffer, headersAt: number): DetectedFormat | 'protobuf' | 'json-text' | null {
    if (!this.#headers.find(bytes, headersAt, CONTENT_TYPE)) return null;
    const { valueEnd, valueStart } = this.#headers;
    if (!this.#headerIs(bytes, this.#knownType)) {
      this.#knownType = Buffer.from(bytes.subarray(valueStart, valueEnd));
      this.#knownFormat = formatOfType(this.#knownType.toString());
    }
    if (this.#knownFormat === null) this.contentType = this.#knownType.toString().slice(0, 100);
    return this.#knownFormat;
  }

  #byBytes(bytes: Buffer, start: number, end: number): DetectedFormat | null {
    const first = bytes[start];
    if (end === start) return null;
    if (isSnappyRequest(bytes, start, end)) return 'remote-write';
    const text = skipSpace(bytes, start, end);
    if (text < end && (bytes[text] === OPEN || bytes[text] === OPEN_ARRAY)) {
      // A newline is a protobuf tag, too.
      if (first !== FIELD_1 || !isRequest(bytes, start, end)) return jsonFormat(bytes, start, end);
    }
    if (first === 0 && end - start >= FRAME_BYTES && (this.#options.hasRegistry || this.#options.hasSchema))
      return 'avro';
    if (isRequest(bytes, start, end)) return 'otlp';
    if (this.#isInflux(bytes, start, end)) return 'influx';
    return this.#options.hasSchema ? 'avro' : null;
  }

  // Text among whose first lines is a good one, or which has nothing but comments and empty lines.
  #isInflux(bytes: Buffer, start: number, end: number): boolean {
    if (bytes[start] < SPACE && !isSpace(bytes[start])) return false;
    let broken = 0;
    for (let at = start; at < end && broken < BROKEN_LINES_MAX; at = this.#line.next) {
      const kind = this.#line.scan(bytes, at, end);
      if (kind === 'line') return true;
      if (kind === 'broken') broken++;
    }
    return broken === 0;
  }
}

function formatOfType(contentType: string): DetectedFormat | 'protobuf' | 'json-text' | null {
  const [type, ...parameters] = contentType.toLowerCase().split(';');
  const rest = parameters.join(';');
  switch (type.trim()) {
    case 'application/json':
      return 'json-text';
    case 'application/x-protobuf':
    case 'application/protobuf':
    case 'application/vnd.google.protobuf':
      if (rest.includes('prometheus.writerequest')) return 'remote-write';
      return rest.includes('opentelemetry') ? 'otlp' : 'protobuf';
    case 'application/avro':
    case 'application/vnd.apache.avro+binary':
    case 'application/x-avro-binary':
    case 'avro/binary':
      return 'avro';
    case 'text/plain':
    case 'application/x-influxdb-line-protocol':
    case 'application/vnd.influx':
      return 'influx';
    default:
      return null;
  }
}

function isSpace(byte: number): boolean {
  return byte === SPACE || (byte >= 0x09 && byte <= 0x0d);
}

function skipSpace(bytes: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end && isSpace(bytes[at])) at++;
  return at;
}

// An object whose first key says that it is an OTLP request; anything else in JSON is samples.
function jsonFormat(bytes: Buffer, start: number, end: number): DetectedFormat {
  const open = skipSpace(bytes, start, end);
  if (bytes[open] !== OPEN) return 'json';
  const key = skipSpace(bytes, open + 1, end);
  if (bytes[key + 1] !== RESOURCE_METRICS[1] || key + RESOURCE_METRICS.length > end) return 'json';
  return bytes.compare(RESOURCE_METRICS, 0, RESOURCE_METRICS.length, key, key + RESOURCE_METRICS.length) === 0
    ? 'otlp'
    : 'json';
}

// Nothing but fields 1 with lengths that lead from one to the next and to the end.
function isRequest(bytes: Buffer, start: number, end: number): boolean {
  let at = start;
  while (at < end && bytes[at] === FIELD_1) {
    let size = 0;
    let scale = 1;
    for (at++; ; at++) {
      if (at >= end || scale > 2 ** 28) return false;
      size += (bytes[at] & 127) * scale;
      if (bytes[at] < 128) break;
      scale *= 128;
    }
    at += 1 + size;
  }
  return at === end && at > start;
}

// A size that fits the block (snappy adds a sixth at most), then a literal that begins with a field of WriteRequest that
// fits the size: nothing can be copied yet. A small request may begin with a byte that is a bracket, or with spaces.
function isSnappyRequest(bytes: Buffer, start: number, end: number): boolean {
  let at = start;
  while (at < end && at < start + 4 && bytes[at] > 127) at++;
  const size = shortVarint(bytes, start, end);
  const tag = bytes[++at];
  if (at + 1 >= end || (tag & 3) !== 0 || end - start > 32 + size + size / 6) return false;
  const field = at + 1 + Math.max(0, (tag >>> 2) - 59);
  if (bytes[field] !== FIELD_1 && bytes[field] !== FIELD_3) return false;
  return shortVarint(bytes, field + 1, end) <= size - 2;
}

// Of up to four bytes; what does not end there is larger than any record.
function shortVarint(bytes: Buffer, start: number, end: number): number {
  let value = 0;
  let scale = 1;
  for (let at = start; at < end && at < start + 4; at++) {
    value += (bytes[at] & 127) * scale;
    if (bytes[at] < 128) return value;
    scale *= 128;
  }
  return value;
}
